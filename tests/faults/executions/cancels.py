"""A thousand interrupts at random moments: each run must end, say so once, and say nothing more.

Talkers begin runs and interrupt each at a moment that its aim suggests; which phase an interrupt really met is read
from the tables afterwards, and a phase that none met fails the run: it must not pass by luck.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis.asyncio import Redis

from shared.keys import Keys
from tests.faults import tables
from tests.faults.clients import chance
from tests.faults.executions import rows
from tests.faults.executions.phases import Phase, Stop, check_answers, check_texts, phases_of
from tests.faults.executions.stage import Document, Stage, stage
from tests.faults.invariants import check_states
from tests.faults.processes import Stack
from tests.faults.servers import Servers
from tests.faults.waiting import until
from tests.pipeline import PARTITIONS

REUSED = 8  # interrupts of one thread before the next thread is made
NAMED = 0.6  # share of interrupts with a runId
INTERRUPTS = 1_000
REST = 30.0  # seconds after the last interrupt in which what nobody interrupted must end
QUIET = 10.0  # seconds after that in which every lease must be gone
WEIGHTS: Mapping[Phase, int] = {
    Phase.QUEUED: 20,
    Phase.STARTING: 20,
    Phase.RUNNING: 25,
    Phase.WAITING: 20,
    Phase.FINISHING: 15,
}


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int = 1
    interrupts: int = INTERRUPTS
    talkers: int = 24
    workers: int = 3

    @property
    def orphans(self) -> int:
        """Interrupts whose run's worker is killed just before: of a hundred one, and two at least."""
        return max(self.interrupts // 100, 2)


@dataclass(slots=True)
class Report:
    plan: Plan
    interrupts: int
    runs: Counter[str]  # by status
    met: Counter[Phase]
    incomplete: int  # messages that were cut short and kept
    seconds: float
    unleased: float | None  # seconds until no lease was left
    faults: list[str]

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "seed": self.plan.seed,
                "interrupts": self.interrupts,
                "met": {phase.value: self.met[phase] for phase in Phase},
                "runs": dict(self.runs),
                "incomplete": self.incomplete,
                "unleased_after": None if self.unleased is None else round(self.unleased, 1),
                "seconds": round(self.seconds, 1),
                "faults": len(self.faults),
            }
        )


async def cancel_run(plan: Plan, servers: Servers) -> Report:
    """One run on a database of its own; the Redis is emptied first."""
    await servers.flush_redis()
    began = time.monotonic()
    async with Stack(servers, await servers.new_database(), servers.redis.url) as stack:
        stack.api()
        for _ in range(plan.workers):
            stack.worker(role="all")
        async with stage(stack) as s:
            crowd = Crowd(plan, s)
            await crowd.interrupt_all()
            await s.idle(REST)
            unleased = await s.unleased(QUIET)
            found = await rows.read(s.db)
            redis = Redis.from_url(stack.redis_url)
            async with s.db.acquire() as db:
                states = check_states(await tables.read(db, redis, Keys(), PARTITIONS))
            await redis.aclose()
    met = phases_of(crowd.stops, found, crowd.texts)
    return Report(
        plan=plan,
        interrupts=len(crowd.stops),
        runs=Counter(run.status for run in found.runs),
        met=met,
        incomplete=sum(message.status == "incomplete" for message in found.messages),
        seconds=time.monotonic() - began,
        unleased=unleased,
        faults=[
            *rows.check(found),
            *map(str, states),
            *check_answers(crowd.stops, found),
            *check_texts(found, crowd.texts),
            *(f"no interrupt met a run that was {phase}" for phase in Phase if not met[phase] and phase != Phase.LATE),
            *([] if len(crowd.stops) >= plan.interrupts else [f"only {len(crowd.stops)} interrupts"]),
        ],
    )


@dataclass(slots=True)
class Crowd:
    """The talkers, and all that they saw."""

    plan: Plan
    stage: Stage
    texts: dict[str, tuple[str, str]] = field(default_factory=dict)  # run -> its agent, the text it answers
    stops: list[Stop] = field(default_factory=list)
    _said: int = 0

    async def interrupt_all(self) -> None:
        """Until there were as many as planned."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._orphan_some(chance(self.plan.seed, 1_000)))
            for n in range(self.plan.talkers):
                group.create_task(self._talk(chance(self.plan.seed, n)))

    async def _talk(self, rng: random.Random) -> None:
        threads: dict[str, str] = {}
        aims: Mapping[Phase, Callable[[str, random.Random], Coroutine[Any, Any, None]]] = {
            Phase.QUEUED: self._stop_queued,
            Phase.STARTING: self._stop_starting,
            Phase.RUNNING: self._stop_running,
            Phase.WAITING: self._stop_waiting,
            Phase.FINISHING: self._stop_finishing,
        }
        for n in range(self.plan.interrupts):
            if len(self.stops) >= self.plan.interrupts:
                return
            if n % REUSED == 0:
                threads = {agent: await self.stage.new_thread(agent) for agent in self.stage.agents}
            aim = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            await aims[aim](threads["approve" if aim is Phase.WAITING else "echo"], rng)

    async def _orphan_some(self, rng: random.Random) -> None:
        for _ in range(self.plan.orphans):
            await self._stop_orphaned(await self.stage.new_thread(), rng)
            await self.stage.stack.ready(*self.stage.stack.workers)

    async def _stop_queued(self, thread: str, rng: random.Random) -> None:
        """In the message's own batch, or by its name behind another run, which is interrupted next."""
        if rng.random() < 0.5:
            text = self._text("echo", 0)
            answer = await self.stage.send(thread, _message(text), _INTERRUPT)
            run = answer["events"][0]["run"]["id"]
            self.texts[run] = ("echo", text)
            self._note(run, answer, 1)
            return
        first, second = await self._say(thread, "echo", 3), await self._say(thread, "echo", 1)
        await asyncio.sleep(rng.uniform(0, 0.3))
        await self._stop(thread, second, named=True)
        await self._stop(thread, first, named=rng.random() < NAMED)

    async def _stop_starting(self, thread: str, rng: random.Random) -> None:
        """Right behind the answer, or before it: on a slow machine a run has said something by the time it comes."""
        if rng.random() < 0.5:
            saying = asyncio.create_task(self._say(thread, "echo", 2))
            await asyncio.sleep(rng.uniform(0, 0.05))
            answer = await self.stage.send(thread, _INTERRUPT)
            run = await saying
            self._note(run, answer, 0)
            if answer["warnings"]:  # it came too early, and would meet the next aim on this thread
                await self._stop(thread, run, named=True)
            return
        run = await self._say(thread, "echo", 2)
        await asyncio.sleep(rng.uniform(0, 0.02))
        await self._stop(thread, run, named=rng.random() < NAMED)

    async def _stop_running(self, thread: str, rng: random.Random) -> None:
        run = await self._say(thread, "echo", 2)
        await asyncio.sleep(rng.uniform(0.1, 1.7))
        await self._stop(thread, run, named=rng.random() < NAMED)

    async def _stop_waiting(self, thread: str, rng: random.Random) -> None:
        """While it waits, or about then; sometimes beside the decision that it waits for."""
        run = await self._say(thread, "approve", 0)
        if rng.random() < 0.2:
            await asyncio.sleep(rng.uniform(0, 0.1))
            await self._stop(thread, run, named=rng.random() < NAMED)
            return

        async def waits() -> bool:
            return bool((await self.stage.run(thread, run))["status"] == "waiting_input")

        await until(f"run {run} waits for a permission", waits, 30)
        stopping = self._stop(thread, run, named=rng.random() < NAMED)
        if rng.random() < 0.2:
            request = await self.stage.request(run)
            await asyncio.gather(self.stage.send(thread, _allow(request)), stopping)
        else:
            await stopping

    async def _stop_finishing(self, thread: str, rng: random.Random) -> None:
        """A short one, or a slow one close to its end."""
        if rng.random() < 0.5:
            run = await self._say(thread, "echo", 0)
            await asyncio.sleep(rng.uniform(0, 0.015))
        else:
            run = await self._say(thread, "echo", 1)
            await asyncio.sleep(rng.uniform(0.96, 1.06))
        await self._stop(thread, run, named=rng.random() < NAMED)

    async def _stop_orphaned(self, thread: str, rng: random.Random) -> None:
        run = await self._say(thread, "echo", 30)
        victim = await self.stage.held(thread, run, deltas=rng.randint(1, 15))
        killed_at: datetime = await self.stage.db.fetchval("select clock_timestamp()")
        await victim.kill()
        victim.restart()
        await self._stop(thread, run, named=rng.random() < NAMED, killed_at=killed_at)
        await self._say(thread, "echo", 0)  # it begins when the dead worker's lease has run out

    async def _say(self, thread: str, agent: str, seconds: int) -> str:
        text = self._text(agent, seconds)
        run = await self.stage.say(thread, text)
        self.texts[run] = (agent, text)
        return run

    def _text(self, agent: str, seconds: int) -> str:
        self._said += 1
        return f"{f'/slow {seconds} ' if seconds else ''}number {self._said} to {agent}"

    async def _stop(self, thread: str, run: str, *, named: bool, killed_at: datetime | None = None) -> None:
        event = _INTERRUPT | {"runId": run} if named else _INTERRUPT
        self._note(run, await self.stage.send(thread, event), 0, killed_at)

    def _note(self, run: str, answer: Document, index: int, killed_at: datetime | None = None) -> None:
        warnings = tuple(w["code"] for w in answer["warnings"] if w["eventIndex"] == index)
        accepted_at = datetime.fromisoformat(answer["acceptedAt"])
        self.stops.append(Stop(run, accepted_at, answer["events"][index], warnings, killed_at))


_INTERRUPT: Document = {"type": "user_interrupt"}


def _message(text: str) -> Document:
    return {"type": "user_message", "text": text}


def _allow(request: str) -> Document:
    return {"type": "permission_decision", "requestId": request, "decision": "allow_once"}
