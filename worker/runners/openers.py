"""Opens the runners of agents, and keeps those that are open: one for each agent as it is configured now."""

import asyncio
from collections.abc import Mapping
from typing import Any

from shared.settings import Settings
from worker.runners.pool import Pool
from worker.runners.protocol import Runner, RunnerError
from worker.runners.registry import Surroundings, open_runner

_MOST = 1_000  # open runners kept


class Openers:
    def __init__(self, settings: Settings) -> None:
        self._children = Pool(settings.warm_children)
        self._surroundings = Surroundings(settings.private_endpoints, children=self._children)
        self._open: dict[object, Runner] = {}

    async def open(self, agent: object | None, runner: str, config: Mapping[str, Any]) -> Runner:
        """`agent` names an agent as it is configured now. Raises RunnerError, ConfigError."""
        if agent is None:
            raise RunnerError("The thread has no agent.", code="runner.unavailable")
        if (found := self._open.get(agent)) is not None:
            return found
        # In a thread: an author's module may take its time to be imported.
        opened = await asyncio.to_thread(open_runner, runner, config, self._surroundings)
        if len(self._open) >= _MOST:
            self._open.clear()
        self._open[agent] = opened
        return opened

    async def close(self) -> None:
        """Behind the runs' end: a child that still runs is killed."""
        self._open.clear()
        await self._children.close()
