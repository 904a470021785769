"""Files of this machine as those of a thread: for `threadmill agent test` and the conformance suite.

Refused here: what an upload would be refused for, and a path that is no file.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal

from shared.files import names
from shared.files.digest import Digest
from worker.runners.contents import Weighed, open_file, pieces_of, read_path
from worker.runners.files import FileFacts, away, gone
from worker.runners.outputs import File


class LocalShelf:
    """`paths` are attachments of one thread; what its runner makes is written into `directory`, under its own name or
    one that is free. Ids are the same each time: a second attempt must not differ by them.
    """

    def __init__(self, paths: Sequence[Path], at: datetime, directory: Path) -> None:
        """Raises OSError, InvalidRequest."""
        self._at = at
        self._directory = directory
        self._files: dict[str, tuple[FileFacts, Path]] = {}
        for path in paths:
            name = names.check_name(path.name)
            with open_file(path):  # said now rather than in the middle of a run
                size = path.stat().st_size
            self._add(name, size, names.type_by(name), "attachment", path)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._files)

    async def page(self, after: str, limit: int) -> Sequence[FileFacts]:
        return [facts for facts, _ in self._files.values() if facts.id > after][:limit]

    async def find(self, names: Sequence[str]) -> Sequence[FileFacts]:
        return [self._files[name.upper()][0] for name in names if name.upper() in self._files]

    async def read(self, file: str, start: int, stop: int | None = None) -> AsyncGenerator[bytes]:
        found = self._files.get(file.upper())
        if found is None:
            raise gone(file)
        left = found[0].size if stop is None else stop
        left -= start
        try:
            async with aclosing(read_path(found[1], start)) as pieces:
                async for piece in pieces:
                    if left <= 0:
                        return
                    yield piece[:left]
                    left -= len(piece)
        except FileNotFoundError:
            raise gone(file) from None
        except OSError as error:
            raise away() from error

    async def keep(self, file: File) -> Weighed:
        """What its runner yields. Raises what its content raises, OSError."""
        digest = Digest()
        opened = self._create(file.name)
        path = Path(opened.name)
        try:
            async with aclosing(pieces_of(file.content)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(opened.write, piece)
                    digest.add(piece)
        except BaseException:
            await asyncio.to_thread(path.unlink)
            raise
        finally:
            opened.close()
        facts = self._add(file.name, digest.size, file.mime_type or names.UNKNOWN, "artifact", path)
        return Weighed(facts.name, facts.mime_type, facts.size, digest.sha256.hex())

    def _create(self, name: str) -> BinaryIO:
        """Under a name that is free: another run may want the same one."""
        path, number = self._directory / name, 2
        while True:
            try:
                return path.open("xb")
            except FileExistsError:
                path = self._directory / f"{Path(name).stem} {number}{Path(name).suffix}"
                number += 1

    def _add(
        self, name: str, size: int, mime_type: str, kind: Literal["attachment", "artifact"], path: Path
    ) -> FileFacts:
        facts = FileFacts(f"{len(self._files):026d}", name, size, mime_type, kind, self._at)
        self._files[facts.id] = (facts, path)
        return facts
