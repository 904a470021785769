"""Partitions and accounts with work: how much waits in each, since when, and who has it in hand.

Everything is counted up to a bound. The oldest batch of a partition is known where Redis names it, or few accounts
have work there; else its age is at least what is said. Refused here: pausing them (`shared.inspect.actions.queue`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import AccountId, BatchId, Ulid
from shared.inspect.counts import COUNTED, Count, counted
from shared.inspect.page import FIRST, Id, Page, cut, key_of

SQL = statements("partitions")
DEPTHS = statements("inspect")["depths"]

ACCOUNTS = 16  # probed in one partition for its oldest batch, where Redis does not say which one it is
FEW = 4  # where it does: what it says may be late, not wrong

Named = Sequence[tuple[int, BatchId]]  # partitions, and the batch that Redis takes for the oldest of each


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on a partition: a drain that has locked it. All None: it reads, or it is nobody's for long."""

    owner: Ulid | None
    host: str | None
    pid: int | None
    batches: int | None  # in hand, of all its partitions
    age: float | None  # seconds

    @property
    def name(self) -> str:
        """The process, as far as it is known."""
        if self.owner is None:
            return "locked"
        return "a worker that is gone" if self.pid is None else f"{self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class Oldest:
    """`age`: seconds, None where nothing waits that may be applied."""

    paused: bool
    age: float | None
    looked: int  # accounts that were probed


@dataclass(frozen=True, slots=True)
class Partition:
    id: int
    paused: bool
    waiting: Count
    held: Count  # of accounts that are paused
    blocked: Count
    oldest_age: float | None  # seconds
    holder: Holder | None

    @property
    def busy(self) -> bool:
        """Whether there is anything to say of it."""
        return bool(self.paused or self.waiting.value or self.held.value or self.blocked.value or self.holder)


@dataclass(frozen=True, slots=True)
class AccountWork:
    """An account with batches that wait."""

    id: AccountId
    name: str
    paused: bool
    waiting: Count
    age: float | None = None  # seconds, of the oldest one


async def oldest(db: Database, named: Named) -> dict[int, Oldest]:
    """By partition; of those without work there is none. Cost: one look at an index for each account probed."""
    partitions, batches = [partition for partition, _ in named], [batch for _, batch in named]
    rows = await db.fetch(SQL["oldest"], FEW if named else ACCOUNTS, partitions, batches)
    return {row["partition"]: Oldest(row["paused"], row["age"], row["looked"]) for row in rows}


async def read_partitions(db: Database, named: Named = ()) -> list[Partition]:
    """All of them, by number."""
    depths = await db.fetch(DEPTHS, COUNTED + 1)
    ages = await oldest(db, named)
    who = await holders(db)
    return [_partition(row, ages, who) for row in depths]


async def accounts_with_work(db: Database, limit: int, after: str | None = None) -> Page[AccountWork]:
    """In the order of their ids, which is that of their age."""
    (beyond,) = key_of(after, Id)
    rows = await db.fetch(SQL["accounts"], beyond or FIRST, limit + 1, COUNTED + 1)
    return cut([_account(row, row["age"]) for row in rows], limit, lambda one: (one.id,))


async def paused_accounts(db: Database, limit: int, after: str | None = None) -> Page[AccountWork]:
    """Those that are paused, whether anything waits or not; in the order of their ids."""
    (beyond,) = key_of(after, Id)
    rows = await db.fetch(SQL["paused_accounts"], beyond or FIRST, limit + 1, COUNTED + 1)
    return cut([_account(row, row["age"]) for row in rows], limit, lambda one: (one.id,))


async def work_of(db: Database, account: AccountId) -> AccountWork:
    """Raises NotFound."""
    row = await db.fetchrow(SQL["account"], account, COUNTED + 1)
    if row is None:
        raise NotFound(f"There is no account {account}.")
    return _account(row)


async def holders(db: Database) -> dict[int, Holder]:
    """Who has which partitions in hand, by partition."""
    rows = await db.fetch(SQL["in_hand"])
    return {row["partition"]: Holder(row["owner"], row["host"], row["pid"], row["batches"], row["age"]) for row in rows}


def _partition(row: asyncpg.Record, ages: Mapping[int, Oldest], who: Mapping[int, Holder]) -> Partition:
    number = row["partition"]
    age = ages[number].age if number in ages else None
    counts = counted(row["waiting"]), counted(row["held"]), counted(row["blocked"])
    return Partition(number, row["paused"], *counts, age, who.get(number))


def _account(row: asyncpg.Record, age: float | None = None) -> AccountWork:
    return AccountWork(row["id"], row["name"], row["held"], counted(row["waiting"]), age)
