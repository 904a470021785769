"""The desk of an executor: which threads are offered to it, which of its drains' leases are to be begun, how much room
there is. Refused here: any I/O.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from shared.ids import ThreadId, Ulid
from worker.execute.leases import Lease
from worker.load import Where

MOST = 50  # runs of one take
MOST_WANTED = 10_000  # threads remembered; the sweep finds the rest


@dataclass(slots=True)
class Desk:
    owner: Ulid  # whose leases they are
    capacity: int  # runs at once; 0: this worker executes none
    running: Collection[ThreadId]  # threads whose runs are driven now
    call: Callable[[Sequence[ThreadId]], None]  # rings for other workers
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # nothing more is taken
    filled: asyncio.Event = field(default_factory=asyncio.Event)  # there may be something to take, or to begin
    _wanted: dict[ThreadId, int] = field(default_factory=dict)  # thread -> partition, in the order of offers
    _again: dict[ThreadId, int] = field(default_factory=dict)  # offered while their last run was being put away
    _leased: list[Lease] = field(default_factory=list)
    _reserved: int = 0  # room that drains may use

    @property
    def room(self) -> int:
        if self.closed.is_set():
            return 0
        return max(0, self.capacity - len(self.running) - len(self._leased) - self._reserved)

    def offer(self, where: Iterable[Where]) -> None:
        """Threads whose run waits for a worker, as far as is known; any number of times."""
        new = [(thread, partition) for partition, thread in where if thread not in self._wanted]
        if self.capacity and not self.closed.is_set():
            self._wanted.update(new[: max(MOST_WANTED - len(self._wanted), 0)])
            self.filled.set()
        if new and len(self._wanted) >= self.room:
            self.call([thread for thread, _ in new])

    def reserve(self, wanted: int) -> int:
        """Room for as many of so many runs as there is; `cancel` gives it back, also what was begun meanwhile."""
        reserved = min(wanted, self.room)
        self._reserved += reserved
        return reserved

    def cancel(self, reserved: int) -> None:
        self._reserved -= reserved

    def begin(self, leases: Sequence[Lease]) -> None:
        """Runs that this worker's drains leased are to be driven."""
        self._leased += leases
        self.filled.set()

    def leased(self) -> list[Lease]:
        """Those, and no longer the desk's."""
        leased, self._leased = self._leased, []
        return leased

    def wanted(self) -> list[Where]:
        """As many of the offered threads as there is room for, and no longer the desk's."""
        some = list(self._wanted.items())[: min(self.room, MOST)]
        for thread, partition in some:
            del self._wanted[thread]
            if thread in self.running:
                self._again[thread] = partition
        if not self._leased and not (self._wanted and some):
            self.filled.clear()
        return [(partition, thread) for thread, partition in some if thread not in self._again]

    def free(self, thread: ThreadId) -> None:
        """A run was put away: there is room, and what was offered of its thread meanwhile may be taken."""
        if (partition := self._again.pop(thread, None)) is not None:
            self.offer([(partition, thread)])
        if self._wanted:
            self.filled.set()
