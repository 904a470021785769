"""The desk of an executor: which threads are offered to it, which of its drains' leases are to be begun, how much room
there is. Refused here: any I/O.

Who has waited for long goes first: while threads are offered that wait, drains get no room for what became ready just
now, and what the sweep finds stands before what was offered since. Accounts go in rounds (`turns`).
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.ids import AccountId, ThreadId, Ulid
from worker.execute.caps import Caps
from worker.execute.leases import Lease
from worker.execute.turns import Turns
from worker.load import Where

MOST = 50  # runs of one take
LOOKED_AT = 20  # offers for each place, of one look at which of them still wait
LOOKED_UP = 1_000  # threads whose account is looked up at once


@dataclass(slots=True)
class Desk:
    owner: Ulid  # whose leases they are
    capacity: int  # runs at once; 0: this worker executes none
    running: Collection[ThreadId]  # threads whose runs are driven now
    call: Callable[[Sequence[ThreadId]], None]  # rings for other workers
    caps: Caps
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # the worker ends: nothing more is taken
    quiet: bool = False  # nothing more is taken until an operator says so
    filled: asyncio.Event = field(default_factory=asyncio.Event)  # there may be something to take, or to begin
    _wanted: Turns = field(default_factory=Turns)
    _again: dict[ThreadId, int] = field(default_factory=dict)  # offered while their last run was being put away
    _leased: list[Lease] = field(default_factory=list)
    _reserved: int = 0  # room that drains may use
    _in_hand: int = 0  # room of runs that are being taken, or begun

    @property
    def room(self) -> int:
        if self.shut:
            return 0
        return max(0, self.capacity - len(self.running) - len(self._leased) - self._reserved - self._in_hand)

    @property
    def shut(self) -> bool:
        return self.quiet or self.closed.is_set()

    def rest(self, quiet: bool) -> None:
        """Takes nothing from now on, or takes again."""
        self.quiet = quiet
        self._wake()

    @property
    def pending(self) -> bool:
        """Whether runs are being leased, or are leased and not begun."""
        return bool(self._leased or self._reserved or self._in_hand)

    @property
    def waiting(self) -> Sequence[Lease]:
        """Leases of runs that are not begun."""
        return tuple(self._leased)

    def offer(self, where: Iterable[Where]) -> None:
        """Threads whose run waits for a worker since now: others are told where there is no room for them here."""
        new = self._want(where)
        if new and (self.room == 0 or len(self._wanted) > self.room):
            self.call(new)

    def hear(self, where: Iterable[Where]) -> None:
        """Threads whose run waits, as somebody else said, who may be wrong by now. Nobody else is told again."""
        self._want(where)

    def find(self, where: Iterable[Where]) -> None:
        """Threads whose run has waited for long, the longest first: they are before all others."""
        found = list(where)
        if found and self.capacity and not self.shut:
            self._wanted.add_first(found)
            self.filled.set()

    @property
    def crowd(self) -> list[Where]:
        """Threads whose account must be known before any is taken: more wait than have room, or there are caps."""
        crowded = len(self._wanted) > self.room or self.caps.any
        return self._wanted.unknown(LOOKED_UP) if crowded and self.capacity else []

    def sort(self, looked_up: Sequence[Where], found: Mapping[ThreadId, AccountId]) -> None:
        """Whose these are; those that are not found wait no more."""
        self._wanted.sort(looked_up, found)

    def _want(self, where: Iterable[Where]) -> list[ThreadId]:
        """Those that were not known, as far as they are remembered or others are to be told."""
        new = {thread: partition for partition, thread in where if thread not in self._wanted}
        if self.capacity and new and not self.shut:
            self._wanted.add((partition, thread) for thread, partition in new.items())
            self.filled.set()
        return list(new)

    def reserve(self, wanted: int) -> int:
        """Room for as many of so many runs as there is, and nobody waits for; `cancel` gives it back, also what was
        begun meanwhile.
        """
        reserved = 0 if self._wanted or self.caps.any else min(wanted, self.room)
        self._reserved += reserved
        return reserved

    def cancel(self, reserved: int) -> None:
        self._reserved -= reserved
        self._wake()

    def begin(self, leases: Sequence[Lease]) -> None:
        """Runs whose leases are committed are to be driven."""
        self._leased += leases
        self.filled.set()

    @contextmanager
    def leased(self) -> Iterator[list[Lease]]:
        """Those: no longer the desk's, and in hand until they are driven."""
        leased, self._leased = self._leased, []
        with self._hold(len(leased)):
            yield leased

    @contextmanager
    def wanted(self) -> Iterator[tuple[list[Where], int]]:
        """Offered threads, no longer the desk's, and how many of them may be taken: that room is in hand until they are
        driven. Where there are more, somebody must look first which of them still wait.
        """
        room = min(self.room, MOST)
        some = self._wanted.take(LOOKED_AT * room, room, self.caps.left()) if room else []
        for partition, thread in some:
            if thread in self.running:
                self._again[thread] = partition
        if not self._leased and not (self._wanted and some):
            self.filled.clear()
        free = [(partition, thread) for partition, thread in some if thread not in self._again]
        room = min(len(free), room)
        with self._hold(room):
            yield free, room

    def free(self, thread: ThreadId) -> None:
        """A run was put away: there is room, and what was offered of its thread meanwhile may be taken."""
        if (partition := self._again.pop(thread, None)) is not None:
            self.hear([(partition, thread)])
        self._wake()

    @contextmanager
    def _hold(self, room: int) -> Iterator[None]:
        self._in_hand += room
        try:
            yield
        finally:
            self._in_hand -= room
            if (
                room
            ):  # else nothing has changed: who may not be taken now (`caps`) is not to be asked for again and again
                self._wake()

    def _wake(self) -> None:
        if self._leased or (self._wanted and self.room > 0):
            self.filled.set()
