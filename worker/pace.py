"""How many batches a drain takes: many, or few while somebody with little waiting is about. When the next one begins,
and whether another one is at work meanwhile.

A drain of hundreds costs the least, and whoever comes next waits for all of it. So drains stay short for a while after
one met an account, or a thread, with little waiting beside one with much.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from shared.ids import AccountId
from worker.batch import PER_ACCOUNT

SHORT = 24  # batches; fewer cost more than they save (docs/decisions/a-backlog-shares-its-worker.md)
SHORT_FOR = 1.0  # seconds
SEVERAL_FOR = 10.0  # seconds; a round of all partitions, each of which fills a drain, takes less
LONG = 1.0  # seconds of a drain, after which it hangs: sweep, first lane and the backlog's other drains go on beside it

ENOUGH = 64  # batches of a drain whose outcomes somebody waits for; what it costs besides them is a fifth then
ENOUGH_UNAWAITED = 192  # of one whose outcomes nobody waits for
LONGEST = 0.03  # seconds between two drains, however many workers there are
LONGEST_UNAWAITED = 0.1  # where nobody waits, and drains take as long as that by themselves
LATEST = (
    0.18  # seconds of a drain and its pause: wake-ups that wait for longer are anybody's soon (`shared.queue.LONG`)
)
WORTH = 8  # batches that must be expected to come in a pause


@dataclass(slots=True)
class Pace:
    limit: int  # batches of a drain at most
    clock: Callable[[], float] = time.monotonic
    depth: int = PER_ACCOUNT  # batches of a lone account in one partition and drain
    _in_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _taken_at: float = float("-inf")  # of the loop's clock: when somebody's turn began
    _short_until: float = float("-inf")
    _awaited_until: float = float("-inf")
    _several_until: float = float("-inf")
    _met: Set[AccountId] = frozenset()  # accounts of the last read that had any
    _met_at: float = float("-inf")

    @property
    def short(self) -> bool:
        return self.clock() < self._short_until

    def hurry(self) -> None:
        """Somebody with little waiting was met."""
        self._short_until = self.clock() + SHORT_FOR

    @property
    def awaited(self) -> bool:
        """Whether somebody waited for an outcome lately, and so is likely to wait for the next one."""
        return self.clock() < self._awaited_until

    def answer(self) -> None:
        """Somebody waited for an outcome of a drain."""
        self._awaited_until = self.clock() + SHORT_FOR

    @property
    def lone(self) -> AccountId | None:
        """The account that all was of which this worker has met lately; None: several, or nobody."""
        recently = self._met_at <= self.clock() < self._met_at + SEVERAL_FOR
        return next(iter(self._met)) if recently and self.clock() >= self._several_until else None

    def meet(self, accounts: Set[AccountId]) -> None:
        """These accounts had batches waiting in what was read."""
        if not accounts:
            return
        now = self.clock()
        if self._met != accounts or len(accounts) > 1 or now >= self._met_at + SEVERAL_FOR:
            self._several_until = now + SEVERAL_FOR
        self._met, self._met_at = frozenset(accounts), now

    def went(self, read: int, taken: int, partitions: int) -> None:
        """A drain of the lone account's took `taken` of the batches that it `read` in so many partitions."""
        if 5 * taken < 4 * read:  # hot threads: what is left of them is read again
            self.depth = max(PER_ACCOUNT, self.depth // 2)
        else:
            self.depth = max(self.depth, min(self.limit, 5 * taken // (4 * partitions)))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Of a drain of the backlog: while somebody with little waiting is about, a worker begins one at a time, but
        beside one that hangs. Each more takes processor time from who accepts what that one sends, and from its drain.
        """
        mine, loop = False, asyncio.get_running_loop()
        if self.short:
            began = self._taken_at if self._in_turn.locked() else loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(max(loop.time(), began + LONG)):
                    mine = await self._in_turn.acquire()
                self._taken_at = loop.time()
        try:
            yield
        finally:
            if mine:
                self._in_turn.release()

    def most(self) -> int:
        """Batches of the next drain."""
        return min(SHORT, self.limit) if self.short else self.limit


def pause(seconds: float, applied: int, workers: int, *, cycle: float, awaited: bool) -> float:
    """Seconds that a worker lets batches come, behind a drain that took `seconds` for `applied` of them, which came in
    the `cycle` since the drain before began; 0: none.

    As long as the other workers take to drain, until there are enough: so many workers that share what rings drain
    together as often as one would that has all of it (docs/decisions/workers-drain-in-turns.md). Who waits for an
    outcome sends nothing meanwhile: where one was `awaited` the pause is short. So it is where drains are: with
    processors to spare nobody's batches are to wait for many workers.
    """
    enough, longest = ENOUGH, LONGEST
    if not awaited:
        enough, longest = ENOUGH_UNAWAITED, min(max(LONGEST, 2 * seconds), LONGEST_UNAWAITED)
    others = seconds * (workers - 1)
    missing = seconds * (enough / applied - 1) if applied else 0.0
    rest = min(longest, others, missing, LATEST - seconds)
    came_in = seconds if awaited else cycle  # who waits sends again when it is answered, however long ago that was
    return rest if rest > 0 and applied * rest >= WORTH * came_in else 0.0
