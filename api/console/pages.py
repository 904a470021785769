"""What a page and an action are made of. Values only; `console.py` answers with them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
from multidict import MultiMapping
from redis.asyncio import Redis

from shared.audit import Actor
from shared.errors import InvalidRequest
from shared.inspect import given, page
from shared.settings import Settings

Values: TypeAlias = Mapping[str, Any]
Form: TypeAlias = MultiMapping[str]


@dataclass(frozen=True, slots=True)
class Look:
    """One reading: what was asked for, and what it may be answered from. Raises InvalidRequest where a parameter is
    nothing that anything can be called.
    """

    db: asyncpg.Connection
    redis: Redis
    settings: Settings
    params: MultiMapping[str]  # of the path and the query
    may_act: bool
    asked: datetime | None = None  # Postgres' clock when the operator is asked, and the same when that is done

    def __post_init__(self) -> None:
        for name, text in self.params.items():
            given.checked(name, text, page.LONGEST if name.endswith("after") else given.LONGEST)

    def text(self, name: str) -> str:
        """A parameter, trimmed; empty where there is none."""
        return self.params.get(name, "").strip()

    def all(self, name: str) -> list[str]:
        return self.params.getall(name, [])

    def whole(self, name: str, least: int = 0, most: int = (1 << 31) - 1) -> int | None:
        """A parameter that is a whole number; None without it. Raises InvalidRequest."""
        text = self.text(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 18 and least <= int(text) <= most):
            raise InvalidRequest(f"`{name}` is a whole number from {least} to {most}.", param=name)
        return int(text)

    @property
    def after(self) -> str | None:
        """The cursor of a list's page; None for the first one."""
        return self.params.get("after") or None


Load: TypeAlias = Callable[[Look], Awaitable[Values]]


@dataclass(frozen=True, slots=True)
class Page:
    """`name`: of its templates and of its live topic. `without`: what it shows while Postgres is away, read from a
    `Look` that has no `db`; a page without it is then the one that says so.
    """

    name: str
    title: str
    load: Load
    live: bool = True  # whether it has a part that is rendered anew
    without: Load | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a question's form."""

    name: str
    label: str
    kind: str = "text"  # text | number | area | choice
    value: str = ""
    hint: str = ""
    required: bool = False
    options: Sequence[tuple[str, str]] = ()  # of a choice: value and label


@dataclass(frozen=True, slots=True)
class Question:
    """What an operator is asked before something is done. `touches`: how many, counted when it is asked; a deed that
    does all that match leaves what came about after `Look.asked`."""

    title: str
    says: Sequence[str]
    button: str
    back: str  # where "Cancel" leads
    touches: str = ""
    fields: Sequence[Field] = ()
    danger: bool = True  # false: it can be taken back


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it, in one line, and where the console goes on; or a page that is shown once, and never again."""

    text: str
    to: str
    template: str | None = None
    values: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deed:
    ask: Callable[[Look], Awaitable[Question]]
    do: Callable[[Look, Form, Actor], Awaitable[Done]]
    apart: bool = False  # it goes the way of clients' events, and may wait there: its look has no `db` then
