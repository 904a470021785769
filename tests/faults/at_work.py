"""Whether every process that is left does its own work, once all faults are over: others may have done it for it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp

from shared.ids import partition_of
from tests.faults.clients import Load, Sender, ask_again, chance
from tests.faults.history import Request
from tests.faults.processes import Member, Stack
from tests.faults.violations import Kind, Violation
from tests.faults.waiting import until
from tests.pipeline import PARTITIONS

WITHIN = 30.0  # seconds for each of them, on a loaded machine
ROUND = 0.3  # seconds from one round of batches to the next
ASKED = 300  # of the batches that were accepted, and are asked for again of each account
RUNS, THREADS = 8, 32  # of a round, and that they are drawn from: some are in partitions that an `apply` worker drains
LOOK = 0.1  # seconds between two looks at a figure
APPLIED, COMPLETED = "threadmill_applied_batches_total", 'threadmill_finished_runs_total{end="completed"}'


@dataclass(slots=True)
class AtWork:
    """Sends what each of them is to do, and looks whether it does. What it sends is judged, and counted nowhere."""

    stack: Stack
    load: Load
    roles: Sequence[str]  # of the stack's workers
    talking: Sender  # of an account whose runs are over at once
    threads: Sequence[str]  # of that account
    history: list[Request] = field(default_factory=list)

    async def idle(self) -> list[Violation]:
        """Those that do nothing, though they had their time."""
        looks = [self._look(api, self._accepts, api) for api in self.stack.apis]
        looks += [self._look(worker, self._counts, worker, name) for worker, name in self._counted()]
        async with asyncio.TaskGroup() as group:
            sending = [group.create_task(self._send_batches()), group.create_task(self._ask_for_runs())]
            found = await asyncio.gather(*looks)
            for task in sending:
                task.cancel()
        return [violation for violation in found if violation is not None]

    async def ask_again(self) -> list[Request]:
        """As `clients.ask_again` does for what the load sent."""
        own = frozenset(self.threads)
        asked = [one for one in self.history if one.thread in own]
        others = [one for one in self.history if one.thread not in own]
        sender = self._sender(*self.stack.apis)
        return [*await ask_again(self.talking, asked, most=ASKED), *await ask_again(sender, others, most=ASKED)]

    async def _look(self, member: Member, works: Callable[..., Awaitable[None]], *what: object) -> Violation | None:
        try:
            async with asyncio.timeout(WITHIN):
                await works(*what)
        except TimeoutError:
            return Violation(Kind.STUCK, "-", f"{member.name} does not do its work, {WITHIN:.0f} s after all faults")
        return None

    async def _accepts(self, api: Member) -> None:
        """A batch that no other api is asked for."""

        async def ready() -> bool:
            await asyncio.sleep(LOOK)
            return await self.stack.readiness(api) == "ready"

        async def accepted() -> bool:
            await alone.settle(request, prefer="respond-async")
            return request.acknowledged

        alone, request = self._sender(api), self._request(self.load.threads[0])
        await until(f"{api.name} is ready", ready, WITHIN)
        await until(f"{api.name} accepts", accepted, WITHIN)

    def _counted(self) -> Iterator[tuple[Member, str]]:
        """Each worker, with what it counts of its work."""
        for worker, role in zip(self.stack.workers, self.roles, strict=True):
            if role != "execute":
                yield worker, APPLIED
            if role != "apply":
                yield worker, COMPLETED

    async def _counts(self, worker: Member, name: str) -> None:
        seen: list[float] = []

        async def rose() -> bool:
            await asyncio.sleep(LOOK)
            try:
                seen.append(await self.stack.figure(worker, name))
            except (TimeoutError, aiohttp.ClientError):
                return False
            return seen[-1] > seen[0]

        await until(f"{name} of {worker.name} rises", rose, WITHIN)

    async def _send_batches(self) -> None:
        """To every partition that has a thread, until it is cancelled."""
        threads = {partition_of(thread, PARTITIONS): thread for thread in self.load.threads}.values()
        sender = self._sender(*self.stack.apis)
        while True:
            sent = [sender.settle(self._request(thread), prefer="respond-async") for thread in threads]
            await asyncio.gather(*sent, asyncio.sleep(ROUND))

    async def _ask_for_runs(self) -> None:
        while self.threads:
            chosen = self.talking.rng.sample(self.threads, RUNS)
            asked = [self._request(thread, "user_message") for thread in chosen]
            await asyncio.gather(*map(self.talking.settle, asked), asyncio.sleep(ROUND))

    def _sender(self, *apis: Member) -> Sender:
        return Sender(self.stack.session, [api.url for api in apis], self.load.sender.token, chance(self.load.seed))

    def _request(self, thread: str, type_: str = "user_interrupt") -> Request:
        """An interrupt needs no room in its thread."""
        marker = f"m{8_000_000 + self.load.seed}-{len(self.history)}"
        event = {"type": type_} | ({"text": f"say {marker}"} if type_ == "user_message" else {})
        request = Request(thread, marker, (event,), f"key {marker}")
        self.history.append(request)
        return request


async def at_work(stack: Stack, load: Load, roles: Sequence[str]) -> AtWork:
    """Once every process is ready: before the faults, so that no thread is made of which nobody hears."""
    access = await stack.access("at work", function="worker.runners.demo:echo")
    talking = Sender(stack.session, [api.url for api in stack.apis], access.token, chance(load.seed))
    executed = any(role != "apply" for role in roles)
    threads = [await talking.create_thread(access.agent) for _ in range(THREADS if executed else 0)]
    return AtWork(stack, load, roles, talking, threads)
