"""Pausing what drains take: partitions, accounts. What is accepted meanwhile waits; runs under way go on.

A drain that is under way ends. After a resume the workers' sweep finds what waits within half a second.
"""

from collections.abc import Sequence

from shared import audit
from shared.audit import Actor
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import InvalidRequest, NotFound
from shared.ids import AccountId

SQL = statements("actions")

_MOST = 1 << 15  # beyond every id of a partition


async def pause_partitions(db: Database, actor: Actor, partitions: Sequence[int] | None) -> int:
    """Nothing of these, or of all, is applied from now on; returns how many were not paused. Raises NotFound."""
    return await _pause(db, actor, "queue.pause", partitions, paused=True)


async def resume_partitions(db: Database, actor: Actor, partitions: Sequence[int] | None) -> int:
    """These, or all, are applied again; returns how many were paused. Raises NotFound."""
    return await _pause(db, actor, "queue.resume", partitions, paused=False)


async def pause_account(db: Database, actor: Actor, account_id: AccountId) -> int:
    """Nothing of this account is applied from now on; 0 where it was so before. Raises NotFound."""
    return await _hold(db, actor, "account.pause", account_id, held=True)


async def resume_account(db: Database, actor: Actor, account_id: AccountId) -> int:
    """What this account sent is applied again; 0 where it was not paused. Raises NotFound."""
    return await _hold(db, actor, "account.resume", account_id, held=False)


async def _pause(db: Database, actor: Actor, action: str, partitions: Sequence[int] | None, *, paused: bool) -> int:
    chosen = None if partitions is None else sorted(set(partitions))
    if chosen is not None and not chosen:
        raise InvalidRequest("partitions: name at least one, or all.")
    async with audit.entry(db, actor, action, _named(chosen)) as entry:
        if chosen is not None:
            await _check(db, chosen)
        entry.touched = len(await db.fetch(SQL["pause"], chosen, paused))
        return entry.touched


async def _check(db: Database, chosen: Sequence[int]) -> None:
    """Raises NotFound where one of them is none."""
    rows = await db.fetch(SQL["known_partitions"], [number for number in chosen if 0 <= number < _MOST])
    if unknown := sorted(set(chosen).difference(row["id"] for row in rows)):
        raise NotFound(f"There is no {_named(unknown)}.")


def _named(partitions: Sequence[int] | None) -> str:
    if partitions is None:
        return "all partitions"
    return f"partition{'s' if len(partitions) > 1 else ''} {', '.join(map(str, partitions))}"


async def _hold(db: Database, actor: Actor, action: str, account_id: AccountId, *, held: bool) -> int:
    async with audit.entry(db, actor, action, f"account {account_id}", account=account_id) as entry:
        row = await db.fetchrow(SQL["hold_account"], account_id, held)
        if row is None:
            raise NotFound(f"There is no account {account_id}.")
        entry.touched = int(row["before"] is not held)
        return entry.touched
