"""A waiting batch as the drain reads it, and which of those read are applied in one transaction."""

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

import asyncpg

from shared.ids import AccountId, BatchId, BatchRef, ThreadId, TokenId

PER_THREAD = 50  # batches of one thread in one drain: a hot thread leaves room for its neighbours
PER_ACCOUNT = 100  # batches of one account in one partition and drain, beside others
ACCOUNTS = 64  # accounts with work that one drain visits in a partition; the next one goes on behind them
MOST_BYTES = 4 << 20  # of events in one drain, as `drain.read` counts: a body may have a mebibyte
MUCH = 16  # batches of one account, or one thread, beside which others have little
LITTLE = 4  # batches of one that does not send faster than it is drained, or a quarter of what the other one has
ALONE = 2  # of `suspect`


class Batch(NamedTuple):
    """A row of the statement `read`, by its columns; a tuple, because a drain makes hundreds."""

    partition: int
    id: BatchId
    ref: BatchRef
    thread: ThreadId
    account: AccountId
    token: TokenId
    events: str
    reply_to: str | None
    accepted_at: datetime
    attempts: int
    suspect: int  # 0; 1: a dead owner had it in hand; 2: and tried it alone
    free: bool  # nobody else has its thread: the drain that read it has the lock, or there is no such thread
    traceparent: str | None = None  # of the span that it was accepted in


def batch_of(row: asyncpg.Record) -> Batch:
    return Batch._make(row[: len(Batch._fields)])


_id, _account, _thread = attrgetter("id"), attrgetter("account"), attrgetter("thread")


@dataclass(frozen=True, slots=True)
class Choice:
    """`batches` of one thread are a prefix of those that wait.

    `more`: the read or the choice stopped at a limit; `left`: the partitions where more waits, known where only those
    with little waiting were taken.
    """

    batches: Sequence[Batch]
    more: bool
    left: Collection[int] | None = None


def choose(batches: Iterable[Batch], per_account: int, most: int) -> Choice:
    """Goes round the accounts, whatever their partitions, and in each account round its threads, one batch each, up to
    `most`: who has little waiting is in the next drain, however many partitions another one fills. More accounts than
    that draw lots: by any order of them the same ones would go each time.
    """
    accounts: dict[str, list[Batch]] = defaultdict(list)
    shares: dict[tuple[int, str], int] = defaultdict(int)
    for batch in batches:
        accounts[batch.account].append(batch)
        shares[batch.partition, batch.account] += 1
    more = any(share >= per_account for share in shares.values())
    queues = [_round_threads(of_one) for of_one in accounts.values()]
    if len(queues) > most:
        random.shuffle(queues)
    chosen: list[Batch] = []
    taken: dict[str, int] = defaultdict(int)
    stopped: set[str] = set()
    for batch in _in_turns(queues):
        if batch.thread in stopped:
            continue
        if taken[batch.thread] == PER_THREAD or len(chosen) == most:
            stopped.add(batch.thread)
            more = True
            continue
        taken[batch.thread] += 1
        chosen.append(batch)
    return Choice(chosen, more)


def taken_threads(batches: Iterable[Batch]) -> set[ThreadId]:
    """Threads that somebody else has, or had when the first of their batches was read: nothing of them is applied now.

    A lock that ends while they are read leaves only the later ones `free`, and those must not overtake.
    """
    return {batch.thread for batch in batches if not batch.free}


def of_threads(batches: Iterable[Batch], threads: Collection[ThreadId]) -> list[Batch]:
    return [batch for batch in batches if batch.thread in threads]


def hot_threads(batches: Iterable[Batch], per_account: int) -> tuple[set[int], set[ThreadId]]:
    """Threads that fill more than half of their account's share, where that share is full, and their partitions."""
    accounts: dict[tuple[int, str], list[Batch]] = defaultdict(list)
    for batch in batches:
        accounts[batch.partition, batch.account].append(batch)
    partitions: set[int] = set()
    threads: set[ThreadId] = set()
    for (partition, _), of_one in accounts.items():
        if len(of_one) >= per_account:
            counts = Counter(batch.thread for batch in of_one)
            hot = [thread for thread, count in counts.items() if 2 * count > per_account]
            threads.update(hot)
            if hot:
                partitions.add(partition)
    return partitions, threads


def _round_threads(batches: Iterable[Batch]) -> list[Batch]:
    """The first of each thread, then the second of each: a thread's own order stays."""
    taken: dict[str, int] = defaultdict(int)
    places: list[tuple[int, BatchId, Batch]] = []
    for batch in sorted(batches, key=_id):
        taken[batch.thread] += 1
        places.append((taken[batch.thread], batch.id, batch))
    return [batch for _, _, batch in sorted(places)]


def _in_turns(queues: Sequence[Sequence[Batch]]) -> Iterable[Batch]:
    if len(queues) == 1:
        return queues[0]
    longest = max(map(len, queues), default=0)
    return (queue[n] for n in range(longest) for queue in queues if n < len(queue))
