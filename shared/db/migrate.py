"""Numbered `.sql` files, applied in order, each in its own transaction, one process at a time.

A migration never changes once it is merged. It says which older programs go on with it ("Works with", see
docs/upgrading.md); others are refused where they start, because they would write rows that newer constraints and
readers don't expect. No migration waits long for a lock: whoever needs the table would stand behind it.
"""

import asyncio
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import asyncpg

from shared.db.partitioned import index_each

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_WORKS_WITH = re.compile(r"^-- Works with: (\d+)$", re.MULTILINE)
_APART = re.compile(r"^-- Outside of a transaction$", re.MULTILINE)
_LOCK = 0x7468_7264  # "thrd": any number that nobody else on this database is likely to take

LOCK_TIMEOUT_MS = 1_000  # that a table stands still for a migration that waits for it; then others go first
_TRIES = 60
_PAUSE = 1.0  # seconds between tries


class SchemaTooNew(Exception):
    """The database is newer than this version of Threadmill: upgrade the program, don't run it."""


class SchemaTooOld(Exception):
    """The database lacks migrations: run `threadmill migrate`."""


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
    """Brings the database to this version; returns what was applied. Safe when two processes start at once.

    Raises SchemaTooNew, asyncpg.LockNotAvailableError where a table was in use for a minute.
    """
    await connection.execute("select pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(
            "create table if not exists schema_migrations (version integer primary key, name text not null,"
            " applied_at timestamptz not null default now(), works_with integer)"
        )
        missing = await _missing(connection)
        if missing:
            await _bounded(connection, "alter table schema_migrations add column if not exists works_with integer")
        for migration in missing:
            await _apply(connection, migration)
        return missing
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK)


async def check(connection: asyncpg.Connection) -> None:
    """Raises SchemaTooNew or SchemaTooOld where this program can't run on the database."""
    exists = await connection.fetchval("select to_regclass('schema_migrations') is not null")
    if not exists or await _missing(connection):
        raise SchemaTooOld((SchemaTooOld.__doc__ or "").strip())


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
        raise SchemaTooNew((SchemaTooNew.__doc__ or "").strip())
    return [migration for migration in known if migration.version not in applied]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    note = "insert into schema_migrations (version, name, works_with) values ($1, $2, $3)"
    noted = (migration.version, migration.name, migration.works_with)
    if migration.apart:  # it waits for transactions, and holds nobody up meanwhile
        if not await index_each(connection, migration.text):
            await connection.execute(migration.text)
        await connection.execute(note, *noted)
    else:
        await _bounded(connection, migration.text, (note, noted))


async def _bounded(
    connection: asyncpg.Connection, text: str, then: tuple[str, tuple[object, ...]] | None = None
) -> None:
    """In one transaction, with what comes then; again where somebody had the table for too long."""
    for left in reversed(range(_TRIES)):
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
                await connection.execute(text)
                if then is not None:
                    await connection.execute(then[0], *then[1])
            return
        except asyncpg.LockNotAvailableError:
            if not left:
                raise
            await asyncio.sleep(_PAUSE)
