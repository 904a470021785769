"""Ways to read batches that are wrong, for the tests which show that the checker catches them; see `crashpoints`."""

from shared.crashpoints import armed
from shared.db.statements import statements

READ = statements("drain")["read"]
_WANTED = "from unnest($1::int[]) as wanted (id)\n    join partitions"
_LOCKED_HERE = (
    "from (select p as id, pg_advisory_xact_lock(1, p) from unnest($1::int[]) as p) as wanted\n    join partitions"
)
_LIMITED = "order by w.account, w.id limit $2::int"


def unlocked() -> bool:
    """Whether this build takes no lock of its own before it reads."""
    return armed("stale_read") or armed("skip_locked")


def read() -> str:
    """The statement that reads, broken as this process is armed."""
    if armed("stale_read"):
        return _replaced(_WANTED, _LOCKED_HERE)
    if armed("skip_locked"):
        return _replaced(_LIMITED, f"{_LIMITED} for update skip locked")
    return READ


def _replaced(part: str, other: str) -> str:
    if READ.count(part) != 1:
        raise ValueError(f"the read statement has no such part any more: {part}")
    return READ.replace(part, other)
