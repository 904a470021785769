"""Numbered `.sql` files, applied in order, each in its own transaction, one process at a time.

A migration never changes once it is merged. It says which older programs go on with it ("Works with", see
docs/upgrading.md); others are refused where they start, because they would write rows that newer constraints and
readers don't expect. No migration waits long for a lock: whoever needs the table would stand behind it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, partial
from importlib.resources import files
from typing import TypeVar

import asyncpg

from shared.db import transactions
from shared.db.connect import is_pooled
from shared.db.partitioned import index_each

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_WORKS_WITH = re.compile(r"^-- Works with: (\d+)$", re.MULTILINE)
_APART = re.compile(r"^-- Outside of a transaction$", re.MULTILINE)
_LOCK = 0x7468_7264  # "thrd": any number that nobody else on this database is likely to take

LOCK_TIMEOUT_MS = 1_000  # that a table stands still for a migration that waits for it; then others go first
_TRIES = 60
_PAUSE = 1.0  # seconds between tries
_LOOK = 0.1  # seconds between looks whether the other process is done

_TABLE = """
create table if not exists schema_migrations (
    version integer primary key, name text not null, applied_at timestamptz not null default now(), works_with integer
)
"""

T = TypeVar("T")


class SchemaTooNew(Exception):
    """The database is newer than this version of Threadmill: upgrade the program, don't run it."""


class SchemaTooOld(Exception):
    """The database lacks migrations: run `threadmill migrate`."""


class TableInUse(Exception):
    """A table that a migration changes was in somebody's use for a minute: end what holds it, a backup or a forgotten
    session (`threadmill doctor` names it, and so does pg_stat_activity), then run `threadmill migrate` again. The
    migration changed nothing."""


class NotThroughPooler(Exception):
    """This migration can't go through a pooler in transaction mode: run `threadmill migrate` once with a DATABASE_URL
    that leads to Postgres itself, without pgbouncer=true. Nothing was changed."""


class Step(Enum):
    """What came of a try to migrate where nothing was applied."""

    DONE = auto()  # nothing is missing
    TAKEN = auto()  # another process migrates


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str

    @property
    def works_with(self) -> int:
        """The oldest program that goes on beside it, by the last migration that it knows; itself where it says none."""
        found = _WORKS_WITH.search(self.text)
        return self.version if found is None else int(found[1])

    @property
    def apart(self) -> bool:
        """Whether it is one statement that can't be in a transaction, such as `create index concurrently`."""
        return _APART.search(self.text) is not None


@cache
def migrations() -> tuple[Migration, ...]:
    """All that this version knows, in order: this process's version, whatever is installed over it meanwhile."""
    found = [
        Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))
        for file in (files("shared.db") / "migrations").iterdir()
        if (match := _FILE.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


async def migrate(connection: asyncpg.Connection) -> list[Migration]:
    """Brings the database to this version; returns what was applied. Safe when two processes start at once: the second
    one waits for as long as the first one's session lives.

    Raises SchemaTooNew, TableInUse, NotThroughPooler, Misconfigured.
    """
    await transactions.check(connection)
    if is_pooled(connection):
        return await _by_transactions(connection)
    await _lock(connection)
    try:
        await connection.execute(_TABLE)
        missing = await _missing(connection)
        if missing:
            await _bounded(connection, _column)
        for migration in missing:
            if migration.apart:
                await _apply_apart(connection, migration)
            else:
                await _bounded(connection, partial(_apply, migration))
        return missing
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK)


async def _lock(connection: asyncpg.Connection) -> None:
    """For the session. Asked for again and again: a statement that waits has a snapshot, and who makes an index
    concurrently waits for all of those, with the lock in its hands.
    """
    while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 - another process has it
        await asyncio.sleep(_LOOK)


async def _by_transactions(connection: asyncpg.Connection) -> list[Migration]:
    """Behind a pooler a session's lock would be anybody's, so each transaction takes its own, and looks again at what
    is missing. Raises NotThroughPooler before anything is changed.
    """
    applied: list[Migration] = []
    while True:
        step = await _bounded(connection, _next)
        if isinstance(step, Migration):
            applied.append(step)
        elif step is Step.DONE:
            return applied
        else:
            await asyncio.sleep(_LOOK)


async def _next(connection: asyncpg.Connection) -> "Migration | Step":
    if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", _LOCK):
        return Step.TAKEN
    await connection.execute(_TABLE)
    missing = await _missing(connection)
    if not missing:
        return Step.DONE
    if apart := [migration for migration in missing if migration.apart]:
        raise NotThroughPooler(f"{apart[0].version:04}_{apart[0].name}: {_said(NotThroughPooler)}")
    await _column(connection)
    await _apply(missing[0], connection)
    return missing[0]


async def check(connection: asyncpg.Connection) -> None:
    """Raises SchemaTooNew or SchemaTooOld where this program can't run on the database."""
    exists = await connection.fetchval("select to_regclass('schema_migrations') is not null")
    if not exists or await _missing(connection):
        raise SchemaTooOld(_said(SchemaTooOld))


async def _missing(connection: asyncpg.Connection) -> list[Migration]:
    """Those that the database lacks. Raises SchemaTooNew where it has one that does not go with this program."""
    known = migrations()
    latest, versions = known[-1].version, {migration.version for migration in known}
    rows = await connection.fetch(  # by way of JSON: what an older program migrated has no such column
        "select m.version, coalesce((to_jsonb(m) ->> 'works_with')::integer, m.version) as works_with"
        " from schema_migrations m"
    )
    applied = {row["version"]: row["works_with"] for row in rows}
    if any(works_with > latest for version, works_with in applied.items() if version not in versions):
        raise SchemaTooNew(_said(SchemaTooNew))
    return [migration for migration in known if migration.version not in applied]


async def _column(connection: asyncpg.Connection) -> None:
    await connection.execute("alter table schema_migrations add column if not exists works_with integer")


async def _apply(migration: Migration, connection: asyncpg.Connection) -> None:
    await connection.execute(migration.text)
    await _note(migration, connection)


async def _apply_apart(connection: asyncpg.Connection, migration: Migration) -> None:
    """It waits for transactions, and holds nobody up meanwhile."""
    if not await index_each(connection, migration.text):
        await connection.execute(migration.text)
    await _note(migration, connection)


async def _note(migration: Migration, connection: asyncpg.Connection) -> None:
    note = "insert into schema_migrations (version, name, works_with) values ($1, $2, $3)"
    await connection.execute(note, migration.version, migration.name, migration.works_with)


async def _bounded(connection: asyncpg.Connection, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """In one transaction; again where somebody had the table for too long. Raises TableInUse."""
    for left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
                return await work(connection)
        except asyncpg.LockNotAvailableError as error:
            if not left:
                raise TableInUse(_said(TableInUse)) from error
            await asyncio.sleep(_PAUSE)
    raise AssertionError("the last try returns or raises")


def _said(kind: type[Exception]) -> str:
    return " ".join((kind.__doc__ or "").split())
