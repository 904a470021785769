"""What a user does with a thread, in the words of one dialect: so the contract suite speaks to each of them."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

ASKS = "asks"  # the state of a run that waits for a decision; the others are the service's own words


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a thread. `id` is the dialect's own."""

    role: str
    text: str
    id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Where a run came to rest."""

    run: str | None  # Cortex names it only where the run has an answer
    state: str  # completed, asks, failed, cancelled
    text: str  # of the last message it said since it was asked or decided
    asks: tuple[str, ...] = ()  # ids of its open permission requests
    error: str | None = None  # the code of a failure


class Working(Protocol):
    """A run that is under way and has said something; its client listens."""

    async def rest(self) -> Answer:
        """Listens until it rests."""


class Dialect(Protocol):
    """A thread is named by the dialect's own id of it, as text."""

    interrupts: bool  # whether it has a word for that

    @property
    def name(self) -> str: ...

    async def create(self) -> str: ...

    async def own(self, thread: str) -> str:
        """Its name for the thread that has this ULID."""

    async def native(self, thread: str) -> str:
        """The ULID of a thread of its."""

    async def ask(self, thread: str, text: str) -> Answer:
        """Says something and listens until the run that answers it rests."""

    def working(self, thread: str, text: str) -> AbstractAsyncContextManager[Working]:
        """Says something and listens to the first words of an answer."""

    async def decide(self, thread: str, run: str, request: str, *, allow: bool) -> Answer: ...

    async def interrupt(self, thread: str, run: str) -> str:
        """The state of the run after it."""

    async def lines(self, thread: str, size: int) -> list[Line]:
        """All messages, oldest first, read page by page; `size` is the length of a page."""

    async def delete(self, thread: str) -> None: ...

    async def statuses(self, thread: str, run: str, request: str) -> dict[str, int]:
        """What each call is answered on this thread, by the name of the call."""
