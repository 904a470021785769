"""Turns: which of the threads that are offered to an executor is next. Accounts go in rounds, one thread each, so that
one with ten thousand runs keeps nobody waiting for more than one of them.

Whose a thread is, is looked up only where more are offered than there is room for. Refused here: any I/O.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from shared.ids import AccountId, ThreadId
from worker.load import Where

MOST = 10_000  # threads remembered of those not looked up, and as many of the others; the sweep finds the rest


@dataclass(slots=True)
class Turns:
    _new: OrderedDict[ThreadId, int] = field(default_factory=OrderedDict)  # -> partition: whose they are is not known
    _first: set[ThreadId] = field(default_factory=set)  # of those, the ones that have waited for long
    _queues: dict[AccountId, OrderedDict[ThreadId, int]] = field(default_factory=dict)  # in the order of their turns
    _accounts: dict[ThreadId, AccountId] = field(default_factory=dict)  # of threads in queues
    _lent: dict[ThreadId, AccountId] = field(default_factory=dict)  # of those given out last: some may come back

    def __len__(self) -> int:
        return len(self._new) + len(self._accounts)

    def __contains__(self, thread: ThreadId) -> bool:
        return thread in self._new or thread in self._accounts

    def add(self, where: Iterable[Where]) -> None:
        """Behind the others, as far as they are remembered."""
        for partition, thread in where:
            if thread not in self and len(self._new) < MOST:
                self._new[thread] = partition

    def add_first(self, where: Sequence[Where]) -> None:
        """Before all others of their accounts, in this order."""
        for partition, thread in reversed(where):
            account = self._accounts.get(thread) or self._lent.get(thread)
            if account is not None:
                self._accounts[thread] = account
                self._new.pop(thread, None)  # it was offered again while it was lent
                self._first.discard(thread)
                self._put_first(self._queues.setdefault(account, OrderedDict()), thread, partition)
            else:
                self._first.add(thread)
                self._put_first(self._new, thread, partition)

    @staticmethod
    def _put_first(queue: "OrderedDict[ThreadId, int]", thread: ThreadId, partition: int) -> None:
        queue[thread] = partition
        queue.move_to_end(thread, last=False)

    def unknown(self, most: int) -> list[Where]:
        """Threads whose account is to be looked up."""
        return [(partition, thread) for thread, partition in islice(self._new.items(), most)]

    def sort(self, looked_up: Iterable[Where], found: Mapping[ThreadId, AccountId]) -> None:
        """Takes note of whose these are; those that were not found no longer wait."""
        first: list[Where] = []
        for partition, thread in looked_up:
            self._new.pop(thread, None)
            account = found.get(thread)
            if account is not None:
                self._accounts[thread] = account
                self._queues.setdefault(account, OrderedDict())[thread] = partition
                if thread in self._first:
                    first.append((partition, thread))
            self._first.discard(thread)
        self.add_first(first)
        if len(self._accounts) > MOST:
            self._forget()

    def _forget(self) -> None:
        """Who has most loses it, from behind; where that is one thread for each account, those lose it whose turns come
        last. One look at each account, however many are over."""
        level = max(1, _level(sorted(map(len, self._queues.values())), MOST))
        for queue in self._queues.values():
            while len(queue) > level:
                del self._accounts[queue.popitem()[0]]
        while len(self._accounts) > MOST:
            for thread in self._queues.popitem()[1]:
                del self._accounts[thread]

    def take(self, most: int, room: int, left: Callable[[AccountId], int] | None) -> list[Where]:
        """Gives out at most `most` threads in the order of their turns, of which `room` will be used. With `left`, of
        an account as many as that says, and none that is not looked up.
        """
        self._lent = {}
        taken: list[Where] = []
        for account, where in self._rounds(left):
            if len(taken) == most:
                break
            taken.append(where)
            self._lent[where[1]] = account
        for n, (_, thread) in enumerate(taken):
            self._remove(thread, self._lent[thread], served=n < room)
        if left is None:
            for partition, thread in self.unknown(most - len(taken)):
                del self._new[thread]
                self._first.discard(thread)
                taken.append((partition, thread))
        return taken

    def _rounds(self, left: Callable[[AccountId], int] | None) -> Iterator[tuple[AccountId, Where]]:
        """The first of each account, then the second of each. Accounts behind what is taken are not looked at."""
        queues: Iterable[tuple[AccountId, Iterator[tuple[ThreadId, int]]]] = (
            (account, islice(queue.items(), None if left is None else max(0, left(account))))
            for account, queue in self._queues.items()
        )
        while queues:
            on = []
            for account, queue in queues:
                for thread, partition in islice(queue, 1):
                    yield account, (partition, thread)
                    on.append((account, queue))
            queues = on

    def _remove(self, thread: ThreadId, account: AccountId, *, served: bool) -> None:
        """An account that is served has its next turn behind the others."""
        queue = self._queues.pop(account) if served else self._queues[account]
        del queue[thread], self._accounts[thread]
        if queue and served:
            self._queues[account] = queue
        elif not queue and not served:
            del self._queues[account]


def _level(lengths: Sequence[int], room: int) -> int:
    """How much each may keep at most, where all of these, the shortest first, keep no more than `room` together."""
    for n, length in enumerate(lengths):
        share = room // (len(lengths) - n)
        if length > share:
            return share
        room -= length
    return room
