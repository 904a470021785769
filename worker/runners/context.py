"""What a runner is told: `ctx`. Values, and what lives: the history, the files, the steering, whether to stop.

The same class is made by a worker, by a child process of one, by `threadmill agent test` and by the conformance suite.
Refused here: reaching Postgres or Redis; whoever makes a Context hands in how history and files are read.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from worker.runners.files import Files


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the thread. `id` is stable; `text` its text parts, joined with a newline; `incomplete` says why a
    run could not finish it (`cancelled`, or the code it failed with); `files` are the ids of what is attached to it.
    """

    id: str
    role: Literal["user", "assistant"]
    text: str
    created_at: datetime
    incomplete: str | None = None
    files: tuple[str, ...] = ()


class Verdict(StrEnum):
    ALLOWED = "allowed"
    REJECTED = "rejected"
    EXPIRED = "expired"  # nobody answered in time: not the same as a no


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one permission request; `note` is what its user added."""

    verdict: Verdict
    note: str | None = None

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOWED


class Steering:
    """Messages that arrive while the run is under way. One that is taken counts for this run; those that are not
    become runs of their own, behind this one.
    """

    __slots__ = ("_arrived", "_offered", "_seen", "_taken", "_unrelayed", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Message] = deque()
        self._seen: set[str] = set()
        self._taken: list[str] = []
        self._arrived = asyncio.Event()
        self._unrelayed: deque[Message] = deque()
        self._offered = asyncio.Event()

    def take_nowait(self) -> Message | None:
        """The next message, None where there is none right now."""
        if not self._waiting:
            return None
        message = self._waiting.popleft()
        self._taken.append(message.id)
        if not self._waiting:
            self._arrived.clear()
        return message

    async def take(self) -> Message:
        """Waits for the next message."""
        while True:
            await self._arrived.wait()
            message = self.take_nowait()
            if message is not None:
                return message

    def __aiter__(self) -> "Steering":
        return self

    async def __anext__(self) -> Message:
        return await self.take()

    def offer(self, message: Message) -> None:
        """For whoever drives the run; the same message twice is offered once."""
        if message.id not in self._seen:
            self._seen.add(message.id)
            self._waiting.append(message)
            self._arrived.set()
            self._unrelayed.append(message)
            self._offered.set()

    def acknowledged(self) -> list[str]:
        """For whoever drives the run: ids that were taken since this was last asked."""
        taken, self._taken = self._taken, []
        return taken

    async def relay(self) -> Message:
        """For whoever passes messages on to a child: waits for the next one that was offered. It is not taken yet."""
        while not self._unrelayed:
            self._offered.clear()
            await self._offered.wait()
        return self._unrelayed.popleft()

    def mark_taken(self, ids: Iterable[str]) -> None:
        """For whoever relays them: the child took these. An id that does not wait is passed over."""
        taken = set(ids)
        self._taken += [message.id for message in self._waiting if message.id in taken]
        self._waiting = deque(message for message in self._waiting if message.id not in taken)
        if not self._waiting:
            self._arrived.clear()


async def _no_history(_: int) -> Sequence[Message]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    thread: str
    run: str
    account: str
    agent: str
    attempt: int = 1  # > 1: a worker was lost with this run since its last checkpoint or wait
    messages: Sequence[Message] = ()  # the new ones, which this run answers
    state: Any = None  # of the last `Checkpoint`; None where there was none
    decisions: Mapping[str, Decision] = field(default_factory=dict)  # by the id the runner gave its request
    deadline: datetime | None = None  # the run ends as `expired` then; waiting for a permission does not count
    ahead: timedelta = timedelta(0)  # how far the database's clock is ahead of this machine's
    config: Mapping[str, Any] = field(default_factory=dict)  # the agent's
    steer: Steering = field(default_factory=Steering)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # the worker ends: a checkpoint is welcome now
    files: Files = field(default_factory=Files)  # the thread's, by now
    read_history: Callable[[int], Awaitable[Sequence[Message]]] = _no_history

    async def history(self, limit: int = 100) -> Sequence[Message]:
        """The latest `limit` (1..1000) messages of the thread before the new ones, oldest first. Read when asked."""
        if not 1 <= limit <= 1_000:
            raise ValueError("history: limit is from 1 to 1000")
        return await self.read_history(limit)

    def now(self) -> datetime:
        """The database's time, by which `deadline` and the expiry of requests are measured."""
        return datetime.now(UTC) + self.ahead

    def key(self, step: str) -> str:
        """An idempotency key for one side effect of this run: the same at each attempt, another for each step."""
        return f"{self.run}:{step}"
