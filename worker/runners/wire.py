"""What a worker and the child of a run say to each other: JSON lines over a socket of their own.

Up go a runner's outputs as they are, and the frames of `Up`; down the frames of `Down`. Refused: a line over the bound
of its direction, and standard output, which belongs to the author.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from pydantic_core import to_json

from worker.runners.context import Decision, Message
from worker.runners.files import FileFacts

UP_LINE = 16 << 20  # bytes; an output has two fields of a million characters at most, which take six bytes each
DOWN_LINE = 64 << 20  # bytes; a message of the history has eight million, and the worker does not flood
PIECE = 512 << 10  # bytes of a file in one frame: it is encoded and parsed in 1 ms, and a bucket asked once for each
CHUNK = 16 << 10  # bytes read at once: some 500 deltas, parsed in 2 ms, before another run gets its turn


class TooLong(ValueError):
    """A line is over the bound."""


@dataclass(frozen=True, slots=True)
class Start:
    """The run: what its Context holds, without the messages, which went before it."""

    function: str
    path: list[str]  # of modules, as the worker has it
    thread: str
    run: str
    account: str
    agent: str
    attempt: int
    state: Any
    decisions: Mapping[str, Decision]
    deadline: datetime | None
    ahead: timedelta
    config: Mapping[str, Any]
    type: Literal["start"] = "start"


@dataclass(frozen=True, slots=True)
class New:
    """A message that the run answers."""

    message: Message
    type: Literal["new"] = "new"


@dataclass(frozen=True, slots=True)
class Steer:
    """A message that arrived while the run is under way."""

    message: Message
    type: Literal["steer"] = "steer"


@dataclass(frozen=True, slots=True)
class Past:
    """One message of the history that was asked for by `number`."""

    number: int
    message: Message
    type: Literal["past"] = "past"


@dataclass(frozen=True, slots=True)
class PastEnd:
    """All messages of that history were sent; `error`: it can't be read."""

    number: int
    error: bool = False
    type: Literal["past_end"] = "past_end"


@dataclass(frozen=True, slots=True)
class Found:
    """Files of the thread that were asked for by `number`."""

    number: int
    files: Sequence[FileFacts]
    type: Literal["found"] = "found"


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes that were asked for by `number`, as base64; fewer than a piece: the file ends here."""

    number: int
    data: str
    type: Literal["piece"] = "piece"


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for by `number` can't be had."""

    number: int
    message: str
    code: str
    retryable: bool
    type: Literal["refused"] = "refused"


@dataclass(frozen=True, slots=True)
class Stopping:
    """The worker ends."""

    type: Literal["stopping"] = "stopping"


@dataclass(frozen=True, slots=True)
class Cancel:
    """The run is over for its worker: clean up, and go."""

    type: Literal["cancel"] = "cancel"


@dataclass(frozen=True, slots=True)
class Ready:
    """The child has imported what every run needs."""

    type: Literal["ready"] = "ready"


@dataclass(frozen=True, slots=True)
class Ask:
    """The runner wants its history."""

    number: int
    limit: int
    type: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True)
class AskFiles:
    """The runner wants to know a page of its thread's files, those behind `after`; or those with the `names`."""

    number: int
    after: str = ""
    limit: int = 0
    names: Sequence[str] = ()
    type: Literal["ask_files"] = "ask_files"


@dataclass(frozen=True, slots=True)
class AskPiece:
    """The runner wants a piece of a file, from `start` on. It asks for the next one when it has this."""

    number: int
    file: str
    start: int
    type: Literal["ask_piece"] = "ask_piece"


@dataclass(frozen=True, slots=True)
class FileBegun:
    """The runner yields a file: its pieces follow, and its end."""

    name: str
    mime_type: str
    size: int | None  # bytes, where they are known before they come
    type: Literal["file_begun"] = "file_begun"


@dataclass(frozen=True, slots=True)
class FilePiece:
    """More bytes of the file that was begun, as base64."""

    data: str
    type: Literal["file_piece"] = "file_piece"


@dataclass(frozen=True, slots=True)
class FileEnded:
    """The file is whole."""

    type: Literal["file_ended"] = "file_ended"


@dataclass(frozen=True, slots=True)
class Taken:
    """Ids of the messages that the runner took from its steering since it last said so."""

    ids: list[str]
    type: Literal["taken"] = "taken"


@dataclass(frozen=True, slots=True)
class Completed:
    type: Literal["completed"] = "completed"


@dataclass(frozen=True, slots=True)
class Failed:
    """The runner raised a RunnerError."""

    message: str
    code: str
    retryable: bool
    type: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Raised:
    """The runner raised anything else; `trace` is for the log."""

    trace: str
    places: str = ""  # of it what a log may have
    type: Literal["raised"] = "raised"


Down: TypeAlias = Start | New | Steer | Past | PastEnd | Found | Piece | Refused | Stopping | Cancel
Up: TypeAlias = (
    Ready | Ask | AskFiles | AskPiece | FileBegun | FilePiece | FileEnded | Taken | Completed | Failed | Raised
)


def dump(frame: object, most: int) -> bytes:
    """One line of `most` bytes. Raises TooLong; ValueError for what is no JSON."""
    line = to_json(frame, inf_nan_mode="constants") + b"\n"
    if len(line) > most:
        raise TooLong(f"{len(line)} bytes in one piece; {most} are the most")
    return line


class Lines:
    """Whole lines of `most` bytes out of a stream, in chunks."""

    __slots__ = ("_most", "_pieces", "_size", "_stream")

    def __init__(self, stream: asyncio.StreamReader, most: int) -> None:
        self._stream = stream
        self._most = most
        self._pieces: list[bytes] = []  # of a line that is not whole yet; kept when a read is cancelled
        self._size = 0

    async def read(self) -> list[bytes]:
        """The next lines, at least one; none at the end, where half a line is dropped. Raises TooLong, OSError."""
        while data := await self._stream.read(CHUNK):
            head, newline, tail = data.rpartition(b"\n")
            self._pieces.append(head if newline else data)
            self._size += len(data)
            if self._size > self._most + CHUNK:
                raise TooLong(f"over {self._most} bytes in one line")
            if newline:
                whole = b"".join(self._pieces)
                self._pieces, self._size = [tail], len(tail)
                return whole.split(b"\n")
        return []
