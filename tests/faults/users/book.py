"""What all users together asked for and heard: the history that the checker compares with the tables."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from tests.faults.executions.phases import Stop
from tests.faults.executions.readers import Reader
from tests.faults.history import Creation, Document, Request
from tests.faults.users.calls import Act, Call, Line

KEYED = 0.9  # share of calls with a key


@dataclass(slots=True)
class Place:
    """A thread, as one user knows it."""

    thread: str  # the native id
    agent: str  # its name
    own: str  # the id of it in the user's dialect
    dialect: str
    run: str | None = None  # the last one that is known


@dataclass(frozen=True, slots=True)
class Rest:
    """Where a run came to rest: `waiting_input`, or terminal."""

    run: str | None
    state: str
    asks: tuple[str, ...] = ()


@dataclass(slots=True)
class Book:
    seed: int
    places: list[Place] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)  # of the other dialects, and those that make threads
    requests: list[Request] = field(default_factory=list)  # native batches
    stops: list[Stop] = field(default_factory=list)  # native interrupts that were answered
    readers: list[Reader] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    _numbers: Iterable[int] = field(default_factory=count)

    def marker(self) -> str:
        return f"m{9_000_000 + self.seed}-{next(iter(self._numbers))}"

    def call(self, dialect: str, act: Act, path: str, body: Document, rng: random.Random | None) -> Call:
        """A new call, in the history. `rng` draws whether it has a key; without it it has one."""
        marker = self.marker()
        keyed = rng is None or rng.random() < KEYED
        call = Call(dialect, act, path, body, f"key {marker}" if keyed else None, marker=marker)
        self.calls.append(call)
        return call

    @property
    def creations(self) -> list[Creation]:
        """Those of threads that were sent."""
        return [Creation(call.key, call.made) for call in self.calls if call.act is Act.CREATE]

    def request(self, thread: str, event: Document, marker: str | None = None) -> Request:
        """A new native batch of one event."""
        chosen = marker or self.marker()
        request = Request(thread, chosen, (event,), f"key {chosen}")
        self.requests.append(request)
        return request
