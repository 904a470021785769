"""What is looked at while a host is cut off: who has its runs, how late batches are, when it is well again."""

import asyncio
import re
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

import aiohttp
import asyncpg
from pydantic_core import from_json

from shared.ids import partition_of
from tests.faults.executions.readers import STREAM, Copy
from tests.faults.executions.stage import Stage
from tests.faults.executions.talks import Talk
from tests.faults.history import Reply
from tests.faults.processes import Member
from tests.faults.scene import Scene
from tests.faults.waiting import until
from tests.hosts.cluster import Cluster
from tests.hosts.network import Cut, Host
from tests.pipeline import PARTITIONS

PATIENCE = 60.0  # seconds for what has its own bar: what takes longer is reported, not cut off
SILENCE = 20.0  # seconds of a stream without even a comment, after which a client comes again
PAUSE = 0.5  # seconds until a client comes again
FINISHED = "threadmill_finished_runs_total"
GONE = ("lost", "cancelled", "refused")  # told by a heartbeat, by an append in the middle, by the one of its end
READY = {f"{name} ready ({side})" for name in ("api-1", "worker-1") for side in ("batches", "runs")}
PARTS = READY | {"api", "worker", "executor"}  # that come back

_HAD = """
select l.thread, l.run from leases l join runs r on r.partition = l.partition and r.thread = l.thread and r.id = l.run
where l.owner = $1 and r.completed_at is null
"""
_ELSEWHERE = """
select r.losses > 0 as lost, r.completed_at, clock_timestamp() as now from runs r
where r.partition = $1 and r.thread = $2 and r.id = $3 and (
    r.completed_at is not null
    or exists (select from leases l where l.partition = $1 and l.thread = $2 and l.run = $3 and l.owner <> $4))
"""
_NEXT = """
select min(occurred_at) from thread_events
where partition = $1 and thread = $2 and run = $3 and occurred_at > $4
"""
_OLDEST = """
select coalesce(max(extract(epoch from applied_at - accepted_at)), 0)::float8 from batches
where accepted_at > $1 and accepted_at < $2
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two services; the second member of each kind is on the host that is cut."""

    cluster: Cluster
    scene: Scene = field(default=None)  # type: ignore[assignment]  # of the one that applies
    stage: Stage = field(default=None)  # type: ignore[assignment]  # of the one that executes

    @property
    def api(self) -> Member:
        return self.cluster.apis[1]

    @property
    def worker(self) -> Member:
        return self.cluster.workers[1]


@dataclass(slots=True)
class Watch:
    host: Host
    batches: Side
    runs: Side
    copies: list[Copy] = field(default_factory=list)
    _began: float = 0.0  # of the monotonic clock: the cut
    _healed: float = 0.0
    _times: list[datetime] = field(default_factory=list)  # of both, by Postgres' clock
    _applied: float = 0.0
    _finished: float = 0.0

    async def runs_in_hand(self) -> list[tuple[str, str]]:
        """The runs (thread, run) that the host executes, once there are any."""

        async def some() -> list[tuple[str, str]]:
            rows = await self.runs.stage.db.fetch(_HAD, self._worker)
            return [(row["thread"], row["run"]) for row in rows]

        await until("the host executes a run", some, PATIENCE)
        return await some()

    async def cut_off(self, what: Cut) -> datetime:
        """Cuts; returns when, by Postgres' clock."""
        self._times.append(await self._now())
        self._began = time.monotonic()
        self.host.cut(what)
        return self._times[0]

    async def taken(self, run: tuple[str, str], began: datetime) -> tuple[bool, float]:
        """Whether the host lost the run, and the seconds until another worker writes of it, or until the host's own
        worker ended it.
        """
        key, seen = (partition_of(run[0], PARTITIONS), *run), list[asyncpg.Record]()

        async def elsewhere() -> bool:
            seen.extend(await self.runs.stage.db.fetch(_ELSEWHERE, *key, self._worker))
            return bool(seen)

        await until(f"another worker has run {run[1]}", elsewhere, PATIENCE)
        if not seen[0]["lost"]:
            return False, ((seen[0]["completed_at"] or seen[0]["now"]) - began).total_seconds()

        async def goes_on() -> datetime | None:
            at: datetime | None = await self.runs.stage.db.fetchval(_NEXT, *key, seen[0]["now"])
            return at

        with suppress(TimeoutError):  # it may have been taken with its last word said
            await until("it says something", goes_on, 5)
        return True, ((await goes_on() or seen[0]["now"]) - began).total_seconds()

    def forget(self) -> None:
        """The servers drop every connection of the host; what tells it so is lost on the way."""
        subprocess.run(["ss", "--kill", "--tcp", "dst", self.host.back], check=True, stdout=subprocess.DEVNULL)

    async def heal(self) -> None:
        self._times.append(await self._now())
        self.host.heal()
        self._healed = time.monotonic()
        await until("the host's workers answer", self._remember, PATIENCE)

    async def comes_back(self, talk: Talk) -> dict[str, float]:
        """Seconds from the healing until each part of the host's work is done there again."""
        async with asyncio.TaskGroup() as group:
            tasks = {
                "api": group.create_task(self._since(self._accepts)),
                "worker": group.create_task(self._since(self._applies)),
                "executor": group.create_task(self._since(self._executes, talk)),
            }
            for side in (self.batches, self.runs):
                for member in (side.api, side.worker):
                    name = f"{member.name} ready ({'batches' if side is self.batches else 'runs'})"
                    tasks[name] = group.create_task(self._since(self._ready, side, member))
        return {name: round(task.result(), 2) for name, task in tasks.items()}

    async def oldest(self) -> float:
        """The longest that a batch waited which was accepted while the host was cut off, seconds."""
        return float(await self.batches.scene.db.fetchval(_OLDEST, *self._times))

    async def refused(self) -> int:
        """Runs that the host's worker learned it has no more."""
        ends: dict[str, float] = {}

        async def look() -> bool:
            for end in GONE:
                ends[end] = await self._figure(self.runs.worker, f'{FINISHED}{{end="{end}"}}')
            return inf not in ends.values()

        await until("the host's worker says how its runs ended", look, PATIENCE)
        return int(sum(ends.values()))

    def while_cut(self, reply: Reply) -> bool:
        return self._began < reply.sent < self._healed

    async def follow(self, thread: str, over: asyncio.Event) -> Copy:
        """A client of the cut host's api that follows a thread, and comes again where it is not served."""
        copy = Copy(thread)
        self.copies.append(copy)
        reading = asyncio.create_task(self._read_on(copy))
        await over.wait()
        reading.cancel()
        await asyncio.wait([reading])
        return copy

    async def caught_up(self, talk: Talk) -> None:
        async def all_seen() -> bool:
            return all(
                run in copy.ended
                for run, thread in talk.threads.items()
                for copy in self.copies
                if copy.thread == thread
            )

        await until("every client at the host has seen every run's end", all_seen, PATIENCE)

    async def _read_on(self, copy: Copy) -> None:
        url = f"{self.runs.api.url}/api/v1/threads/{copy.thread}{STREAM}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=SILENCE)
        while True:
            headers = self.runs.stage.headers | {"Last-Event-ID": copy.cursor}
            try:
                async with self.runs.cluster.session.get(url, headers=headers, timeout=timeout) as response:
                    async for line in response.content:
                        if line.startswith(b"data:") and response.status == 200 and b'"id"' in line:
                            copy.take(from_json(line.removeprefix(b"data:").strip()))
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(PAUSE)

    async def _accepts(self) -> bool:
        scene = self.batches.scene
        reply = await scene.sender(self.batches.api).send(scene.request())
        return reply.status == 200

    async def _applies(self) -> bool:
        return self._applied < (await self._figures())[0] < inf

    async def _executes(self, talk: Talk) -> bool:
        stage = self.runs.stage
        await talk.say(stage, await stage.new_thread(), "who is there")
        await asyncio.sleep(0.1)
        return self._finished < (await self._figures())[1] < inf

    async def _ready(self, side: Side, member: Member) -> bool:
        return await side.cluster.readiness(member) == "ready"

    async def _since(self, look: Callable[..., Awaitable[object]], *arguments: object) -> float:
        await until(f"{look.__name__}", lambda: look(*arguments), PATIENCE)
        return time.monotonic() - self._healed

    async def _remember(self) -> bool:
        self._applied, self._finished = await self._figures()
        return inf not in (self._applied, self._finished)

    async def _figures(self) -> tuple[float, float]:
        """Batches that the host's worker applied, and runs that it completed; infinite where it does not answer."""
        return (
            await self._figure(self.batches.worker, "threadmill_applied_batches_total"),
            await self._figure(self.runs.worker, f'{FINISHED}{{end="completed"}}'),
        )

    async def _figure(self, member: Member, name: str) -> float:
        try:
            return await self.batches.cluster.figure(member, name)
        except (aiohttp.ClientError, TimeoutError):
            return inf

    async def _now(self) -> datetime:
        now: datetime = await self.batches.scene.db.fetchval("select clock_timestamp()")
        return now

    @property
    def _worker(self) -> str:
        """The id of the host's worker that executes, as it told at its start."""
        found = re.search(r'"worker": ?"(\w+)"', self.runs.worker.log)
        assert found is not None, self.runs.worker.log
        return found[1]
