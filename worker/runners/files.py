"""The files of a thread as its runner sees them, `ctx.files`: read when asked for, and their bytes in pieces.

The same over a worker's storage, over the pipe of a child, and over the files of `threadmill agent test`: whoever makes
a Context hands in a `Shelf`. Refused here: files of another thread, which a shelf has not, and changing one.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from worker.runners.failing import RunnerError

GONE = "runner.file_gone"  # the code where a file is not there
PAGE = 100  # files asked for at once
SMALL = 1 << 20  # bytes that `read` takes unless it is told otherwise


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a file. Neither its name nor its type was checked against its bytes."""

    id: str
    name: str
    size: int  # bytes
    mime_type: str
    kind: Literal["attachment", "artifact"]  # a client sent it, or a run made it
    created_at: datetime


class Shelf(Protocol):
    """Where the files of one thread are. Raises RunnerError: `runner.files_away`, retryable, where it is
    out of reach.
    """

    async def page(self, after: str, limit: int) -> Sequence[FileFacts]:
        """At most `limit` files in the order of their ids, those behind `after`; "" is before every id."""

    async def find(self, names: Sequence[str]) -> Sequence[FileFacts]:
        """Those of these files that are there, in any order."""

    def read(self, file: str, start: int, stop: int | None = None) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `stop`, or to the end, in pieces. Raises RunnerError `runner.file_gone`."""


@dataclass(frozen=True, slots=True)
class ThreadFile(FileFacts):
    """A file of the thread, and the way to its bytes."""

    shelf: Shelf = field(repr=False, compare=False)

    def open(self, start: int = 0) -> AsyncGenerator[bytes]:
        """Its bytes in pieces of at most 512 KiB, from `start` on. Who leaves before the end does it in an `aclosing`.

        Raises RunnerError: `runner.file_gone` where it was deleted meanwhile, `runner.files_away`.
        """
        if start < 0:
            raise ValueError("open: start is 0 or more")
        return self.shelf.read(self.id, start)

    async def read(self, limit: int = SMALL) -> bytes:
        """All of it, if that is at most `limit` bytes. Raises RunnerError `runner.file_too_large`, and as `open`."""
        if self.size > limit:
            raise RunnerError(f"The file {self.name!r} has more than {limit} bytes.", code="runner.file_too_large")
        async with aclosing(self.open()) as pieces:
            return b"".join([piece async for piece in pieces])


class _Bare:
    """The shelf of a thread without files."""

    async def page(self, after: str, limit: int) -> Sequence[FileFacts]:
        return ()

    async def find(self, names: Sequence[str]) -> Sequence[FileFacts]:
        return ()

    async def read(self, file: str, start: int, stop: int | None = None) -> AsyncGenerator[bytes]:
        raise gone(file)
        yield b""  # what makes it a generator


@dataclass(frozen=True, slots=True)
class Files:
    """What the thread has by now: what clients attached, and what runs made. `async for file in ctx.files` goes through
    all of them, the oldest first.
    """

    shelf: Shelf = field(default_factory=_Bare)

    async def __aiter__(self) -> AsyncIterator[ThreadFile]:
        last, full = "", True
        while full:
            page = await self.shelf.page(last, PAGE)
            for facts in page:
                yield self._file(facts)
                last = facts.id
            full = len(page) == PAGE

    async def get(self, file: str) -> ThreadFile:
        """The file with this id. Raises RunnerError `runner.file_gone` where the thread has none."""
        found = await self.attached((file,))
        if not found:
            raise gone(file)
        return found[0]

    async def attached(self, names: Sequence[str]) -> list[ThreadFile]:
        """Those of these files that are there, in the order given: of a message's `files`."""
        found = {facts.id: facts for facts in await self.shelf.find(names)} if names else {}
        return [self._file(found[name.upper()]) for name in names if name.upper() in found]

    def _file(self, facts: FileFacts) -> ThreadFile:
        return ThreadFile(
            facts.id, facts.name, facts.size, facts.mime_type, facts.kind, facts.created_at, shelf=self.shelf
        )


def gone(file: str) -> RunnerError:
    return RunnerError(f"The file {file[:40]!r} is not there: this thread has none with that id.", code=GONE)


def away() -> RunnerError:
    return RunnerError("The thread's files are out of reach.", code="runner.files_away", retryable=True)
