"""The audit log by the page: all of it, or what one actor did, or what was done to one thing, or one kind of deed.

Several of these at once are looked for within `LOOKED` entries of the rarest of them; where those hold no full page,
the page may be short and still have another one behind it. Refused here: writing.
"""

from dataclasses import dataclass

from shared.audit import Record, Via
from shared.db.connect import Database
from shared.db.statements import statements
from shared.inspect import given
from shared.inspect.page import Page, cursor, key_of

SQL = statements("auditlog")

NEWEST = (1 << 63) - 1  # beyond every id
LOOKED = 2_000  # entries looked at for one page


@dataclass(frozen=True, slots=True)
class Wanted:
    """What each entry is to have; None: whatever it has."""

    target: str | None = None
    actor: str | None = None
    action: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("target", self.target), ("actor", self.actor), ("action", self.action)):
            given.checked(name, value)

    @property
    def several(self) -> bool:
        return sum(one is not None for one in (self.target, self.actor, self.action)) > 1

    @property
    def statement(self) -> str:
        """The one that goes by the rarest of them."""
        order = (("by_target", self.target), ("by_actor", self.actor), ("by_action", self.action))
        return next((name for name, wanted in order if wanted is not None), "newest")


async def page(db: Database, limit: int, wanted: Wanted, after: str | None = None) -> Page[Record]:
    """The newest first. Raises InvalidRequest."""
    (below,) = key_of(after, int)
    bound = LOOKED if wanted.several else limit + 1
    rows = await db.fetch(
        SQL[wanted.statement], _bounded(below), wanted.target, wanted.actor, wanted.action, limit, bound
    )
    found = [Record(**{**dict(list(row.items())[2:]), "via": Via(row["via"])}) for row in rows if row["id"] is not None]
    looked, reached = rows[0]["looked"], rows[0]["reached"]
    if len(found) == limit and found[-1].id != reached:
        return Page(found, cursor(found[-1].id))
    return Page(found, cursor(reached) if looked == bound else None)


def _bounded(below: int | None) -> int:
    """Within what the column can hold."""
    return NEWEST if below is None else max(0, min(below, NEWEST))
