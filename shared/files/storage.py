"""Where the bytes of files are: what every storage can do. Which one a setting means stands in `shared.files.opening`.

A file's name in a storage is its id and nothing else. Refused here: knowing rows, names or types of files; those are in
Postgres. A storage without room, or out of reach, raises StorageAway; reading what it has not, FileNotFoundError.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from shared.ids import FileId

PIECE = 128 << 10  # bytes read or written at once: a hop to a thread costs 0.1 ms, and 32 readers hold 4 MiB


class Sink(Protocol):
    """A file while it is written."""

    @property
    def size(self) -> int:
        """Bytes so far."""

    @property
    def sha256(self) -> bytes:
        """Of the bytes so far."""

    async def write(self, data: bytes) -> None:
        """Adds bytes. Raises StorageAway."""


class Storage(Protocol):
    """Owned by one process; opens what it needs when it is first used."""

    def write(self, file: FileId) -> AbstractAsyncContextManager[Sink]:
        """A new file: its bytes are there, durably and all of them, only where the block ended well."""

    def read(
        self, file: FileId, start: int = 0, stop: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Its bytes from `start` up to `stop`, or to its end, in pieces. Raises FileNotFoundError on entering."""

    async def remove(self, file: FileId) -> None:
        """Removes it, where it is there."""

    async def tidy(self, age: float) -> int:
        """Removes what writes of more than `age` seconds ago left half done; returns how much."""

    async def close(self) -> None: ...
