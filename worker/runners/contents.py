"""The bytes of a file that a runner yields, in pieces, wherever it has them; and what is known of it behind them.

Refused here: keeping them, and a bound for all of them; whoever takes them has one.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from os import PathLike
from typing import Any, BinaryIO, Literal, TypeAlias

from shared.files.digest import Digest
from worker.runners.outputs import Content, File, Plain, invalid

PIECE = 128 << 10  # bytes of one piece: storages take as many at once


@dataclass(frozen=True, slots=True)
class Weighed:
    """A file that was yielded, behind its last byte: what `agent test` and the conformance suite see of it."""

    name: str
    mime_type: str
    size: int  # bytes
    sha256: str
    type: Literal["file"] = "file"


Shown: TypeAlias = Plain | Weighed


async def weigh(file: File) -> Weighed:
    """Reads it to its end. Raises what its content raises."""
    digest = Digest()
    async with aclosing(pieces_of(file.content)) as pieces:
        async for piece in pieces:
            digest.add(piece)
    return Weighed(file.name, file.mime_type or "", digest.size, digest.sha256.hex())


class Announced:
    """What bytes that are still to come have as a base: how many there will be, where somebody said so."""

    def __init__(self, size: int | None) -> None:
        self.size = size


def size_of(content: Content) -> int | None:
    """Bytes of what is there already; None of what has still to come."""
    if isinstance(content, str):
        return len(content.encode("utf-8", "replace"))
    if isinstance(content, bytes):
        return len(content)
    return content.size if isinstance(content, Announced) else None


async def pieces_of(content: Content) -> AsyncGenerator[bytes]:
    """At most 128 KiB each. Raises RunnerError `runner.invalid_output` for what are no bytes; OSError of a path."""
    async with aclosing(_raw(content)) as found:
        async for data in found:
            for start in range(0, len(data), PIECE):
                yield data[start : start + PIECE]


async def _raw(content: Content) -> AsyncGenerator[bytes]:
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, str):
        yield content.encode("utf-8", "replace")
    elif isinstance(content, PathLike):
        async for data in read_path(content):
            yield data
    else:
        async for data in _taken(content):
            yield data


async def read_path(path: "PathLike[str]", start: int = 0) -> AsyncGenerator[bytes]:
    """A file of this machine, from `start` on. Raises OSError."""
    reader = _Reader(path, start)
    try:
        while data := await asyncio.get_running_loop().run_in_executor(reader.thread, reader.read):
            yield data
    finally:
        reader.close()


class _Reader:
    """A file of this machine, touched by one thread alone: its end waits in line behind a read that was cancelled."""

    def __init__(self, path: "PathLike[str]", start: int) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="contents")
        self._path = path
        self._start = start
        self._opened: BinaryIO | None = None

    def read(self) -> bytes:
        if self._opened is None:
            self._opened = open_file(self._path)
            self._opened.seek(self._start)
        return self._opened.read(PIECE)

    def close(self) -> None:
        self.thread.submit(self._end)
        self.thread.shutdown(wait=False)

    def _end(self) -> None:
        if self._opened is not None:
            self._opened.close()


def open_file(path: "PathLike[str]") -> BinaryIO:
    """Without waiting: a pipe that nobody writes to would keep this thread, and a worker that ends waits for those.

    Raises OSError, also for what is no regular file.
    """
    opened = open(path, "rb", buffering=0, opener=_at_once)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise OSError(errno.EINVAL, "It is no regular file", os.fspath(path))
    return opened


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


async def _taken(content: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """What an author's iterator gives; it is closed, also where it was not read to its end."""
    iterator: Any = aiter(content)
    try:
        async for data in iterator:
            if not isinstance(data, bytes):
                raise invalid(f"File.content must give bytes, not {type(data).__name__!r}")
            yield data
    finally:
        if hasattr(iterator, "aclose"):
            await iterator.aclose()
