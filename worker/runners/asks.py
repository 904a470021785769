"""The files of a thread over a pipe: what a child asks for, and what its worker answers.

A reader asks for one piece after the other, so a child that stops reading has one of them on its way at most, and its
worker keeps nothing open for it. Refused here: naming a thread; the worker's shelf is that of the run's own.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from worker.runners import wire
from worker.runners.failing import RunnerError
from worker.runners.files import PAGE, FileFacts, Shelf

Answer: TypeAlias = wire.Found | wire.Piece | wire.Refused


class Asks:
    """In the child: a shelf that asks the worker."""

    def __init__(self, send: Callable[[wire.Up], Awaitable[None]]) -> None:
        self._send = send
        self._last = 0
        self._open: dict[int, asyncio.Future[Answer]] = {}

    def number(self) -> int:
        """Of the next thing that is asked."""
        self._last += 1
        return self._last

    def answer(self, frame: Answer) -> None:
        """What came down; a runner that no longer waits for it is not told."""
        asked = self._open.get(frame.number)
        if asked is not None and not asked.done():
            asked.set_result(frame)

    async def page(self, after: str, limit: int) -> Sequence[FileFacts]:
        return await self._files(wire.AskFiles(self.number(), after, limit))

    async def find(self, names: Sequence[str]) -> Sequence[FileFacts]:
        found: list[FileFacts] = []
        for start in range(0, len(names), PAGE):
            found += await self._files(wire.AskFiles(self.number(), names=list(names[start : start + PAGE])))
        return found

    async def read(self, file: str, start: int, stop: int | None = None) -> AsyncGenerator[bytes]:
        full = True
        while full and (stop is None or start < stop):
            frame = await self._ask(wire.AskPiece(self.number(), file, start))
            data = b64decode(frame.data) if isinstance(frame, wire.Piece) else b""
            full = len(data) == wire.PIECE
            if data:
                yield data if stop is None else data[: stop - start]
            start += len(data)

    async def _files(self, ask: wire.AskFiles) -> Sequence[FileFacts]:
        frame = await self._ask(ask)
        return frame.files if isinstance(frame, wire.Found) else ()

    async def _ask(self, ask: wire.AskFiles | wire.AskPiece) -> Answer:
        """Raises RunnerError: what the worker refused."""
        asked: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open[ask.number] = asked
        try:
            await self._send(ask)
            frame = await asked
        finally:
            del self._open[ask.number]
        if isinstance(frame, wire.Refused):
            raise RunnerError(frame.message, code=frame.code, retryable=frame.retryable)
        return frame


async def answer(shelf: Shelf, ask: wire.AskFiles | wire.AskPiece) -> Answer:
    """In the worker."""
    try:
        if isinstance(ask, wire.AskPiece):
            return wire.Piece(ask.number, b64encode(await _piece(shelf, ask)).decode())
        if ask.names:
            return wire.Found(ask.number, await shelf.find(ask.names[:PAGE]))
        return wire.Found(ask.number, await shelf.page(ask.after, max(0, min(ask.limit, PAGE))))
    except RunnerError as error:
        return wire.Refused(ask.number, error.message, error.code, error.retryable)


async def _piece(shelf: Shelf, ask: wire.AskPiece) -> bytes:
    """One piece, whatever sizes the storage has them in."""
    start = max(0, ask.start)
    async with aclosing(shelf.read(ask.file, start, start + wire.PIECE)) as pieces:
        return b"".join([piece async for piece in pieces])
