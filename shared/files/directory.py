"""Files in a directory, which all apis and workers must see: `<root>/<two characters of the id>/<id>`.

Written under a name of its own in `partial`, made durable, and renamed, so that what has its name is whole. Everything
that touches the disk runs in a few threads, never on the loop.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import structlog

from shared import crashpoints
from shared.errors import StorageAway
from shared.files.digest import Digesting
from shared.files.storage import PIECE
from shared.ids import FileId, mint

log = structlog.get_logger()

T = TypeVar("T")
_THREADS = 4  # a disk does not get faster with more; enough that one slow call does not hold up all others
_PARTIAL = "partial"


class Directory:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")

    @asynccontextmanager
    async def write(self, file: FileId) -> AsyncIterator["_Sink"]:
        partial = self._root / _PARTIAL / f"{file}.{mint()}"
        sink = _Sink(self, await self._put(_create, partial))
        try:
            yield sink
            await self.do(_make_durable, sink.opened)
            crashpoints.crash("file.before_rename")
            await self._put(_rename, partial, self._path(file))
        except BaseException:
            await self._give_up(partial)
            raise
        finally:
            await asyncio.shield(self.do(sink.opened.close))

    @asynccontextmanager
    async def read(self, file: FileId, start: int = 0, stop: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        opened = await self.do(_open, self._path(file), start)
        try:
            yield self._pieces(opened, None if stop is None else stop - start)
        finally:
            await asyncio.shield(self.do(opened.close))

    async def _pieces(self, opened: BinaryIO, left: int | None) -> AsyncIterator[bytes]:
        while data := await self.do(opened.read, PIECE if left is None else min(PIECE, left)):
            if left is not None:
                left -= len(data)
            yield data

    async def remove(self, file: FileId) -> None:
        await self.do(_remove, self._path(file))

    async def tidy(self, age: float) -> int:
        return await self.do(_tidy, self._root / _PARTIAL, age)

    async def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def do(self, call: Callable[..., T], *arguments: object) -> T:
        """The call, in a thread. Raises FileNotFoundError, and StorageAway for every other failure of the disk."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)
        except FileNotFoundError:
            raise
        except OSError as error:
            log.error("the directory of files fails", error=error.strerror, number=error.errno)
            raise StorageAway from error

    async def _put(self, call: Callable[..., T], *arguments: object) -> T:
        """As `do`, where nothing is missing but the directory itself: the storage is away then, too."""
        try:
            return await self.do(call, *arguments)
        except FileNotFoundError as error:
            log.error("the directory of files was taken away", number=error.errno)
            raise StorageAway from error

    async def _give_up(self, partial: Path) -> None:
        """Removes what was begun, also while this is being cancelled; where that fails, `tidy` finds it."""
        with suppress(StorageAway):
            await asyncio.shield(self.do(lambda: partial.unlink(missing_ok=True)))

    def _path(self, file: FileId) -> Path:
        return self._root / file[-2:] / file


class _Sink(Digesting):
    def __init__(self, directory: Directory, opened: BinaryIO) -> None:
        super().__init__()
        self._directory = directory
        self.opened = opened

    async def write(self, data: bytes) -> None:
        await self._directory.do(self._add, data)

    def _add(self, data: bytes) -> None:
        self.opened.write(data)
        self._digest.add(data)


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.open("xb", buffering=0)


def _open(path: Path, start: int) -> BinaryIO:
    opened = path.open("rb", buffering=0)
    opened.seek(start)
    return opened


def _make_durable(opened: BinaryIO) -> None:
    os.fsync(opened.fileno())


def _rename(partial: Path, path: Path) -> None:
    if not path.parent.exists():
        path.parent.mkdir(exist_ok=True, mode=0o700)
        _sync(path.parent.parent)
    partial.rename(path)
    _sync(path.parent)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
        _sync(path.parent)


def _sync(directory: Path) -> None:
    """A name is durable when its directory is."""
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _tidy(partial: Path, age: float) -> int:
    removed = 0
    with suppress(FileNotFoundError), os.scandir(partial) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # somebody else tidies, too
                if entry.stat().st_mtime < time.time() - age:
                    Path(entry.path).unlink()
                    removed += 1
    return removed
