"""Threads by number, for the dialect whose ids are integers: a thread gets its number when it is made or listed there.

A number is a thread's for ever: it is neither changed nor given again. Refused here: writing anything else.
"""

from collections.abc import Sequence
from typing import Any

from shared.db.statements import statements
from shared.ids import AccountId, ThreadId
from shared.reads import Source
from shared.views import Described, Numbered

SQL = statements("numbers")

_LAST = 2**63 - 1  # of Postgres' integers


async def thread(source: Source, num: int, account: AccountId) -> Numbered | None:
    """The account's thread of this number, also where it was deleted since."""
    row = await source.fetchrow(SQL["thread"], num, account) if num <= _LAST else None
    return None if row is None else Numbered(**row)


async def described(source: Source, num: int, account: AccountId) -> Described | None:
    row = await source.fetchrow(SQL["described"], num, account) if num <= _LAST else None
    return None if row is None else Described(**row)


async def listed(source: Source, account: AccountId, origin_application: str | None, limit: int) -> list[Described]:
    """At most `limit` threads, newest updated first; those without a number get one."""
    if origin_application is None:
        rows = await source.fetch(SQL["listed"], account, limit)
    else:
        rows = await source.fetch(SQL["listed_of"], account, limit, origin_application)
    given = await of(source, [(row["partition"], row["id"]) for row in rows if row["num"] is None])
    return [_numbered(row, given) for row in rows if row["num"] is not None or row["id"] in given]


async def of(source: Source, places: Sequence[tuple[int, ThreadId]]) -> dict[ThreadId, int]:
    """The numbers of these threads, given now where they had none."""
    if not places:
        return {}
    found = await _known(source, places)
    if missing := [place for place in places if place[1] not in found]:
        await source.fetch(SQL["number"], *map(list, zip(*missing, strict=True)))
        found |= await _known(source, missing)
    return found


async def _known(source: Source, places: Sequence[tuple[int, ThreadId]]) -> dict[ThreadId, int]:
    rows = await source.fetch(SQL["numbers"], [thread for _, thread in places])
    return {row["thread"]: row["num"] for row in rows}


def _numbered(row: Any, given: dict[ThreadId, int]) -> Described:
    fields = dict(row)
    if fields["num"] is None:
        fields["num"] = given[fields["id"]]
    return Described(**fields)
