"""Numbered `.sql` files, applied in order, each in its own transaction, one process at a time.

A migration never changes once it is merged. A database that is newer than the code is refused, because older
code would write rows that newer constraints and readers don't expect.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import asyncpg

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_LOCK = 0x7468_7264  # "thrd": any number that nobody else on this database is likely to take


class SchemaTooNew(Exception):
    """The database is newer than this version of Threadmill: upgrade the program, don't run it."""


class SchemaTooOld(Exception):
    """The database lacks migrations: run `threadmill migrate`."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str


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

    Raises SchemaTooNew.
    """
    applied: list[Migration] = []
    while (migration := await _apply_next(connection)) is not None:
        applied.append(migration)
    return applied


async def _apply_next(connection: asyncpg.Connection) -> Migration | None:
    """The lock is the transaction's: behind a pooler a session's would be anybody's."""
    async with connection.transaction():
        await connection.execute(
            "select set_config('lock_timeout', '0', true), set_config('statement_timeout', '0', true)"
        )
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "create table if not exists schema_migrations"
            " (version integer primary key, name text not null, applied_at timestamptz not null default now())"
        )
        missing = await _missing(connection)
        if not missing:
            return None
        await connection.execute(missing[0].text)
        await connection.execute(
            "insert into schema_migrations (version, name) values ($1, $2)", missing[0].version, missing[0].name
        )
        return missing[0]


async def check(connection: asyncpg.Connection) -> None:
    """Raises SchemaTooNew or SchemaTooOld where the database is not of this version."""
    exists = await connection.fetchval("select to_regclass('schema_migrations') is not null")
    if not exists or await _missing(connection):
        raise SchemaTooOld((SchemaTooOld.__doc__ or "").strip())


async def _missing(connection: asyncpg.Connection) -> list[Migration]:
    known = migrations()
    applied = {row["version"] for row in await connection.fetch("select version from schema_migrations")}
    if applied - {migration.version for migration in known}:
        raise SchemaTooNew((SchemaTooNew.__doc__ or "").strip())
    return [migration for migration in known if migration.version not in applied]
