"""Reads what waits: in turns over the accounts with work, past threads that would fill their account's share.

It remembers where its round of accounts stopped. Refused here: any lock; the caller holds the partitions.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from shared.ids import ThreadId, Ulid
from shared.sparing import Sparing
from worker import broken
from worker.batch import (
    ACCOUNTS,
    LITTLE,
    MOST_BYTES,
    MUCH,
    PER_ACCOUNT,
    Batch,
    Choice,
    batch_of,
    choose,
    hot_threads,
    taken_threads,
)
from worker.pace import Pace

STATEMENT_TIMEOUT = 10.0  # seconds
FIRST_ACCOUNT = "0" * 26


@dataclass(slots=True)
class Reader:
    owner: Ulid  # whose own note makes nothing suspect
    pace: Pace
    _account: str = FIRST_ACCOUNT  # where the round of accounts goes on
    _found: bool = False  # whether this round of accounts found anything to apply
    _past: Sparing = field(default_factory=lambda: Sparing(10))  # looks past hot threads: a tenth of the time at most

    async def read(
        self, connection: asyncpg.Connection, partitions: Sequence[int], *, light: bool = False
    ) -> tuple[Choice, datetime | None]:
        """The batches to apply now, with Postgres' time; the caller holds the partitions' locks."""
        if not partitions:
            return Choice((), False), None
        lone = bool(self.pace.lone) and not light and not self.pace.short
        per_account = min(self.pace.depth if lone else PER_ACCOUNT, max(2, self.pace.most() // len(partitions)))
        rows = await self._fetch(connection, partitions, per_account, (), light=light)
        self.pace.meet({row["account"] for row in rows})
        if rows and rows[0]["some"]:
            return self._few(partitions, rows, per_account), rows[0]["now"]
        seen = [batch_of(row) for row in rows]
        batches = [batch for batch, row in zip(seen, rows, strict=True) if not row["cut"]]
        cut = len(batches) < len(seen)
        batches += await self._look_past(connection, seen, batches, per_account)
        choice = choose(batches, per_account, self.pace.most())
        if cut:
            choice = Choice(choice.batches, True)
        if lone and self.pace.lone and not self.pace.short:
            read = {batch.id for batch in seen}
            self.pace.went(len(read), sum(batch.id in read for batch in choice.batches), len(partitions))
        return self._turn([*seen, *batches], choice), rows[0]["now"] if rows else None

    def _few(self, partitions: Sequence[int], rows: Sequence[asyncpg.Record], per_account: int) -> Choice:
        """Who has little waiting beside somebody who has much, and only those: the rest is left to a longer drain.

        Only what can be applied now: somebody else's lock is not to be waited for twice.
        """
        few = [batch_of(row) for row in rows if row["wanted"] and not row["cut"]]
        if few:
            self.pace.hurry()
        taken = taken_threads(few)
        chosen = choose([batch for batch in few if batch.thread not in taken], per_account, self.pace.most()).batches
        if self._account != FIRST_ACCOUNT or len({row["account"] for row in rows}) >= ACCOUNTS:
            return Choice(chosen, False, partitions)  # there may be accounts that were not visited
        going = {batch.id for batch in chosen}
        left = {row["partition"] for row in rows if row["id"] not in going}
        shares = Counter((row["partition"], row["account"]) for row in rows)
        left.update(partition for (partition, _), share in shares.items() if share >= per_account)
        return Choice(chosen, False, left)

    async def _fetch(
        self,
        connection: asyncpg.Connection,
        partitions: Collection[int],
        per_account: int,
        hot: Collection[ThreadId],
        *,
        light: bool = False,
    ) -> Sequence[asyncpg.Record]:
        where = (partitions, per_account, self._account, ACCOUNTS, self.owner, hot)
        who = (light, self.pace.short, MUCH, LITTLE, MOST_BYTES)
        rows: Sequence[asyncpg.Record] = await connection.fetch(broken.read(), *where, *who, timeout=STATEMENT_TIMEOUT)
        return rows

    async def _look_past(
        self, connection: asyncpg.Connection, seen: Sequence[Batch], batches: Sequence[Batch], per_account: int
    ) -> Sequence[Batch]:
        """What other threads of the account have waiting, where a hot one fills its share of what was `seen`; and some
        of what was cut, where what was not (`batches`) is of threads that somebody else has.

        The read goes past all that these threads have, so it may take a tenth of the time at most.
        """
        partitions, hot = hot_threads(seen, per_account)
        if len(batches) < len(seen) and (taken := taken_threads(batches)):
            hot |= taken
            partitions = {batch.partition for batch in seen}
        if not hot or self._past.rest:
            return ()
        with self._past.spent():
            rows = await self._fetch(connection, sorted(partitions), per_account, sorted(hot))
        known = {batch.id for batch in batches}
        return [batch for row in rows if not row["cut"] and (batch := batch_of(row)).id not in known]

    def _turn(self, batches: Sequence[Batch], choice: Choice) -> Choice:
        """Where the round of accounts stopped at its limit, the next drain goes on behind it.

        A round that ends at its last account begins again, as long as it found anything: what it found may be the
        first of more.
        """
        accounts: dict[int, set[str]] = defaultdict(set)
        for batch in batches:
            accounts[batch.partition].add(batch.account)
        full = [max(of_one) for of_one in accounts.values() if len(of_one) >= ACCOUNTS]
        went_on, self._account = self._account != FIRST_ACCOUNT, min(full) if full else FIRST_ACCOUNT
        self._found = bool(choice.batches) or (went_on and self._found)
        more = (choice.more and bool(choice.batches)) or bool(full) or (went_on and self._found)
        return Choice(choice.batches, more, None if went_on or full else choice.left)
