"""Opens the runners of agents, and keeps those that are open: one for each agent as it is configured now."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from shared.settings import Settings
from worker.runners.failing import RunnerError
from worker.runners.pool import Pool
from worker.runners.protocol import Runner
from worker.runners.registry import Surroundings, open_runner

TIMEOUT = 30.0  # seconds for a runner to open: for an author's module to be imported, most of all
_MOST = 1_000  # open runners kept


class Openers:
    def __init__(self, settings: Settings) -> None:
        self._children = Pool(settings.warm_children)
        self._surroundings = Surroundings(settings.private_endpoints, children=self._children)
        self._open: dict[object, Runner] = {}
        self._opening: dict[object, asyncio.Future[Runner]] = {}

    async def open(self, agent: object | None, runner: str, config: Mapping[str, Any]) -> Runner:
        """`agent` names an agent as it is configured now. Raises RunnerError, ConfigError."""
        if agent is None:
            raise RunnerError("The thread has no agent.", code="runner.unavailable")
        if (found := self._open.get(agent)) is not None:
            return found
        if (opening := self._opening.get(agent)) is None:
            opening = self._opening[agent] = self._begin(agent, runner, config)
        try:
            async with asyncio.timeout(TIMEOUT):
                return await asyncio.shield(opening)
        except TimeoutError as error:
            raise RunnerError(
                f"The runner {runner!r} did not open within {TIMEOUT:.0f} s.", code="runner.unavailable", retryable=True
            ) from error

    def _begin(self, agent: object, runner: str, config: Mapping[str, Any]) -> "asyncio.Future[Runner]":
        """One opening of an agent, however many of its runs wait for it: in a thread of its own, because an author's
        module may take its time, or all of it; nobody waits for the thread when the process ends.
        """
        loop = asyncio.get_running_loop()
        opening: asyncio.Future[Runner] = loop.create_future()
        opening.add_done_callback(lambda done: self._keep(agent, done))

        def tell(opened: Runner | None, error: BaseException | None) -> None:
            if opening.done():
                return
            if opened is not None:
                opening.set_result(opened)
            else:
                opening.set_exception(error if isinstance(error, Exception) else _ended(error))

        def work() -> None:
            opened, failed = None, None
            try:
                opened = open_runner(runner, config, self._surroundings)
            except BaseException as error:
                failed = error
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, opened, failed)

        threading.Thread(target=work, name=f"open {runner}", daemon=True).start()
        return opening

    def _keep(self, agent: object, opening: "asyncio.Future[Runner]") -> None:
        self._opening.pop(agent, None)
        if opening.cancelled() or opening.exception() is not None:
            return
        if len(self._open) >= _MOST:
            self._open.clear()
        self._open[agent] = opening.result()

    async def close(self) -> None:
        """Behind the runs' end: a child that still runs is killed."""
        self._open.clear()
        await self._children.close()


def _ended(error: BaseException | None) -> RunnerError:
    told = RunnerError(f"The runner can't be opened: it raised {type(error).__name__}.", code="runner.unavailable")
    told.__cause__ = error
    return told
