"""Users of all dialects at once: each has threads, asks, decides, interrupts; readers follow what comes of it.

They go on until they are told to leave, and finish what they have begun. Then all must come to rest.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from tests.faults.clients import LEARNING, Sender, ask_again, chance
from tests.faults.executions import rows
from tests.faults.executions.readers import Copy, Reader
from tests.faults.executions.stage import Stage, stage
from tests.faults.processes import Stack
from tests.faults.users.book import Book, Place, Rest
from tests.faults.users.calls import Line, is_pending
from tests.faults.users.checker import check_happened
from tests.faults.users.cortex import Cortex
from tests.faults.users.listings import listed
from tests.faults.users.native import NAME as NATIVE
from tests.faults.users.native import Native
from tests.faults.users.openai import OpenAI
from tests.faults.users.verdict import Verdict, judge
from tests.faults.violations import Kind, Violation
from tests.faults.waiting import until

TURNS = 6  # of a thread, before its user begins another one
ASKING = 0.35  # share of threads whose agent asks for a permission
INTERRUPTED = 0.25  # share of runs that are interrupted
CANCELS = 0.9  # share of the interrupts of a run that OpenAI's dialect has named which are cancels in that dialect
AFTER = (0.0, 2.0)  # seconds from a question to its interrupt
LENGTHS = (0, 0, 1, 1, 2, 10)  # seconds that `echo` counts before it answers; the last one outlasts a lease
LIVE = 0.75  # share of threads that are followed by streams, the others by pages
ROUNDS = 4  # decisions of one run
FINISHED = 300.0  # seconds that users may go on with what they began: four decisions that are answered by a run each
QUIET = 60.0  # seconds in which every run must have ended, and its lease: of three workers that are lost, each has 6 s
CAUGHT_UP = 30.0  # seconds after that in which every reader must have had everything

_ACTIVE = """
select count(*) from threads t
where account = $1
  and (active_runs > 0 or exists (select 1 from leases l where l.partition = t.partition and l.thread = t.id))
"""


class Speaker(Protocol):
    """One dialect. None: nobody knows, and the thread is left."""

    async def open(self, agent: str) -> Place | None: ...

    async def ask(self, place: Place, text: str) -> Rest | None: ...

    async def decide(self, place: Place, rest: Rest, request: str, *, allow: bool) -> None: ...


@dataclass(slots=True)
class Crowd:
    stage: Stage
    book: Book
    users: int
    seconds: float
    lengths: Sequence[int]  # seconds that runs may last
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    _talking: list[asyncio.Task[None]] = field(default_factory=list)
    _reading: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self) -> None:
        """For `seconds`. What was begun then is gone on with beside, and over when all has come to rest."""
        if not self.users:
            return
        self._talking = [asyncio.create_task(self._user(n)) for n in range(self.users)]
        await asyncio.wait(self._talking, timeout=self.seconds, return_when=asyncio.FIRST_EXCEPTION)
        self.leaving.set()

    async def finish(self) -> list[Violation]:
        """Once all users are through with what they began; those who never are."""
        if not self._talking:
            return []
        done, talking = await asyncio.wait(self._talking, timeout=FINISHED)
        for task in done:
            task.result()
        what = f"{len(talking)} users are not through with what they began {FINISHED:.0f} s before"
        return [Violation(Kind.STUCK, "-", what)] if talking else []

    async def settle(self) -> Verdict:
        """Once all runs are over and every reader is at the end of its log, or the time is up. Users must have
        finished, and all that they sent be applied.
        """
        lost = check_happened(self.book.calls, (await rows.read(self.stage.db, self.stage.account)).said)
        ended = asyncio.Event()
        tidying = asyncio.create_task(self._tidy(ended))
        await self._ask_again()
        with suppress(TimeoutError):
            await until("every run of users has ended", self._idle, QUIET)
        ended.set()
        await tidying  # what it sent is known, too
        with suppress(TimeoutError):
            await until("every reader has had everything", self._caught_up, CAUGHT_UP)
        for task in self._reading:
            task.cancel()
        for left in await asyncio.gather(*self._reading, return_exceptions=True):
            if not isinstance(left, asyncio.CancelledError) and left is not None:
                raise left
        rng, found = chance(self.book.seed, 4_000), await rows.read(self.stage.db, self.stage.account)
        lists = [one for place in self.book.places for one in await listed(self.book.lines[0], place, rng)]
        verdict = judge(self.book, found, lists)
        return replace(verdict, violations=tuple(dict.fromkeys((*lost, *verdict.violations))))

    def end(self) -> None:
        for task in (*self._talking, *self._reading):
            task.cancel()

    @property
    def foreign(self) -> frozenset[str]:
        """Threads that are spoken to in other dialects than the native one."""
        return frozenset(place.thread for place in self.book.places if place.dialect != NATIVE)

    async def _ask_again(self) -> None:
        """Sends what has a key, and of which nobody knows what came, once more: now that all is quiet it is known."""
        if not self.book.lines:
            return
        line, keyed = self.book.lines[0], [call for call in self.book.calls if call.key is not None]
        await ask_again(line.sender, self.book.requests)
        with suppress(TimeoutError):
            async with asyncio.timeout(LEARNING), asyncio.TaskGroup() as group:
                for call in keyed:
                    if not call.known or is_pending(call.last):
                        group.create_task(line.settle(call))

    async def _tidy(self, ended: asyncio.Event) -> None:
        """Interrupts runs, until all have ended, that ask for what nobody will decide: their users left, not knowing
        what became of them.
        """
        while not ended.is_set():
            asking = await self.stage.db.fetch(
                "select distinct thread from permission_requests where state = 'pending'"
                " and thread in (select id from threads where account = $1)",
                self.stage.account,
            )
            for row in asking:
                native = Native(self.book, self.book.lines[0], self.stage.agents)
                await native.interrupt(Place(row["thread"], "", "", ""), named=False)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 1)

    async def _idle(self) -> bool:
        return not await self.stage.db.fetchval(_ACTIVE, self.stage.account)

    async def _caught_up(self) -> bool:
        query = "select id, last_event_id from threads where account = $1 and last_event_id is not null"
        last = dict(await self.stage.db.fetch(query, self.stage.account))
        copies = [reader.copy for reader in self.book.readers]
        return all(copy.cursor == last.get(copy.thread, copy.cursor) for copy in copies)

    async def _user(self, n: int) -> None:
        rng = chance(self.book.seed, 2_000, n)
        urls = [api.url for api in self.stage.stack.apis]
        line = Line(Sender(self.stage.stack.session, urls, self.stage.token, rng))
        self.book.lines.append(line)
        native = Native(self.book, line, self.stage.agents)
        speakers = (native, Cortex(self.book, line), OpenAI(self.book, line, self.stage.agents, native))
        while not self.leaving.is_set():
            speaker: Speaker = speakers[n % len(speakers)]
            place = await speaker.open("approve" if rng.random() < ASKING else "echo")
            if place is not None:
                self._follow(place, rng)
                await self._stay(User(rng, native, speaker, place, self.lengths))

    async def _stay(self, user: "User") -> None:
        """Until the user has had enough of a thread, or does not know what became of a call."""
        for _ in range(TURNS):
            if self.leaving.is_set() or not await user.turn():
                return

    def _follow(self, place: Place, rng: random.Random) -> None:
        self.book.places.append(place)
        number = len(self.book.readers)
        reader = Reader(
            self.stage, chance(self.book.seed, 3_000, number), rng.random() < LIVE, Copy(place.thread), spared=False
        )
        self.book.readers.append(reader)
        self._reading.append(asyncio.create_task(reader.follow()))


@dataclass(slots=True)
class User:
    """In one thread."""

    rng: random.Random
    native: Native
    speaker: Speaker
    place: Place
    lengths: Sequence[int]

    async def turn(self) -> bool:
        """One question to its end, with an interrupt on the way or without; whether all of it is known."""
        self.place.run = None
        stopping = asyncio.create_task(self._stop()) if self.rng.random() < INTERRUPTED else None
        try:
            seconds = self.rng.choice(self.lengths) if self.place.agent == "echo" else 0
            rest = await self.speaker.ask(self.place, f"/slow {seconds} say" if seconds else "say")
            for _ in range(ROUNDS):
                if rest is None or rest.state != "waiting_input":
                    break
                rest = await self._decide(rest)
            # A run that asked says that it waits until a worker goes on with it, also behind the decision: where none
            # comes for so long, the thread is left, as its next message would rightly be refused.
            return rest is not None and rest.state != "waiting_input"
        finally:
            if stopping is not None:
                await stopping

    async def _decide(self, rest: Rest) -> Rest | None:
        """In the user's own dialect, or natively, or both at once: then the first one counts."""
        assert rest.run is not None
        allow, chosen = self.rng.random() < 0.7, self.rng.random()
        speakers: list[Speaker] = [self.speaker] if chosen < 0.6 else [self.native]
        if chosen > 0.9:
            speakers.append(self.speaker)
        for request in rest.asks:
            await asyncio.gather(*(one.decide(self.place, rest, request, allow=allow) for one in speakers))
        return await self.native.rest(self.place, rest.run)

    async def _stop(self) -> None:
        await asyncio.sleep(self.rng.uniform(*AFTER))
        if isinstance(self.speaker, OpenAI) and self.place.run is not None and self.rng.random() < CANCELS:
            await self.speaker.cancel(self.place)
        else:
            await self.native.interrupt(self.place, named=self.rng.random() < 0.5)


@asynccontextmanager
async def crowd(stack: Stack, seed: int, users: int, seconds: float, lengths: Sequence[int]) -> AsyncIterator[Crowd]:
    """Once every process of the stack is ready. Workers must execute."""
    async with stage(stack, "users") as made:
        gathered = Crowd(made, Book(seed), users, seconds, lengths)
        try:
            yield gathered
        finally:
            gathered.end()
