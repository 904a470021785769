"""Files of this machine as those of a thread: for `threadmill agent test` and the conformance suite.

Refused here: what an upload would be refused for, and a path that is no file.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from mimetypes import guess_type
from pathlib import Path

from shared.files import names
from worker.runners.contents import pieces_of
from worker.runners.files import FileFacts, away, gone


class LocalShelf:
    """As attachments of one thread, in the order given. Their ids are the same each time: a second attempt must not
    differ by them.
    """

    def __init__(self, paths: Sequence[Path], at: datetime) -> None:
        """Raises OSError, InvalidRequest."""
        self._files: Mapping[str, tuple[FileFacts, Path]] = {
            facts.id: (facts, path) for path, facts in _described(paths, at).items()
        }

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
        place = 0  # of the next piece
        try:
            async for piece in pieces_of(found[1]):
                begin, end = max(0, start - place), len(piece) if stop is None else stop - place
                place += len(piece)
                if begin < end and (cut := piece[begin:end]):
                    yield cut
                if stop is not None and place >= stop:
                    return
        except FileNotFoundError:
            raise gone(file) from None
        except OSError as error:
            raise away() from error


def _described(paths: Sequence[Path], at: datetime) -> dict[Path, FileFacts]:
    found = {}
    for number, path in enumerate(paths):
        name = names.check_name(path.name)
        with path.open("rb"):  # said now rather than in the middle of a run
            size = path.stat().st_size
        type_ = names.type_of(guess_type(name)[0] or names.UNKNOWN)
        found[path] = FileFacts(f"{number:026d}", name, size, type_, "attachment", at)
    return found
