"""What every command of the CLI shares: which servers it means, and how it prints.

The convention: with `--json` standard output holds exactly one JSON document, else tables by rich; everything
else goes to standard error. Exit 0: done. Exit 1: failed. Exit 2: the command line or environment is wrong.
"""

import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy import devfile
from deploy.errors import SetupError
from shared import urls
from shared.db.connect import AWAY, connect
from shared.db.way import Misconfigured
from shared.settings import Settings
from shared.start import explain

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Directory of a `threadmill dev`, used where DATABASE_URL is not set.",
        show_default=".data",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def settings_from(**values: Any) -> Settings:
    """Settings of the environment, with `values` (names of variables) put over it. Raises SetupError."""
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SetupError(explain(error)) from error


def resolve(data: Path | None) -> Settings:
    """The settings of a command: DATABASE_URL and REDIS_URL, else the `dev.json` of `data`, else of `.data`; each of
    the two by itself.

    Raises SetupError where there is no database.
    """
    directory = data or devfile.DEFAULT_DIRECTORY
    values = devfile.read(directory)
    urls = {"DATABASE_URL": values and values.database_url, "REDIS_URL": values and values.redis_url}
    urls |= {name: os.environ[name] for name in urls if os.environ.get(name)}
    if not urls["DATABASE_URL"]:
        raise SetupError(
            f"no database: there is no dev.json in {directory};"
            " set DATABASE_URL and REDIS_URL, or start `threadmill dev`"
        )
    return settings_from(**{name: url for name, url in urls.items() if url})


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """One connection to Postgres for a command. Raises SetupError where Postgres does not answer."""
    try:
        connection = await connect(settings.database_url)
    except Misconfigured as error:
        raise SetupError(str(error)) from error
    except (*AWAY, asyncpg.PostgresError) as error:
        raise SetupError(f"{unanswered('Postgres', settings.database_url)}: {reason(error)}") from error
    try:
        yield connection
    finally:
        await connection.close(timeout=2)


def unanswered(server: str, url: str) -> str:
    """Names a server that does not answer by its address, never by its URL: that holds a password."""
    place = urls.place(url)
    return f"{server} at {place} does not answer" if place else f"{server} does not answer"


def reason(error: BaseException) -> str:
    """An error as one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def print_json(document: Any) -> None:
    """One JSON document on one line of standard output. Ids are text, times RFC 3339. What a terminal would obey, or
    can't show, is escaped: controls, directions, halves of characters.
    """
    typer.echo(_escaped(json.dumps(document, ensure_ascii=False, default=_plain)))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A table on standard output; None shows as an empty cell. In a pipe it is as wide as it needs."""
    table = Table(*columns, title=title, title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(_cell(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 400).print(table)


def _cell(value: object) -> Text:
    """Text as text: neither rich's markup nor a terminal's control codes that somebody put into a message."""
    plain = "" if value is None else str(value)
    return Text("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in plain))


def _escaped(line: str) -> str:
    """JSON with the same values. What does not print stands within its strings only."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)


def plain(text: str) -> str:
    """Text of several lines for a terminal, or a piece of it: as `_cell`, but for line ends and tabs. CRLF ends a line,
    also where it is cut in two.
    """
    lines = re.sub(r"\r(?=\n|\Z)", "", text)
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in lines)


def _plain(value: object) -> object:
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat else str(value)
