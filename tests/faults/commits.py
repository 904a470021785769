"""Connections read along: where does the answer to a write end? The proxy keeps that answer back when it is to be lost.

Of Postgres only what says so: a statement's text when it is parsed, its name when it is bound, "ready for query"
outside of a transaction. Of Redis every answer counts, since hardly a command of ours only reads. Refused here:
changing a byte.
"""

import re
from typing import Protocol

_STARTUP = 196_608  # protocol 3.0; what comes before it (a question for TLS) has other numbers
_READY = b"Z\x00\x00\x00\x05I"  # "ready for query", idle: what was asked before is committed, or rolled back
_WRITES = re.compile(rb"\b(insert\s+into|delete\s+from|update\s+\w)", re.IGNORECASE)


class Watch(Protocol):
    def ask(self, data: bytes) -> None:
        """Bytes on their way to the server."""

    def ends(self, data: bytes) -> bool:
        """Whether these bytes of the server end the answer to something that wrote."""


class Postgres:
    """One connection of the frontend/backend protocol, version 3."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._started = False
        self._writing: set[bytes] = set()  # names of prepared statements that write
        self._wrote = False  # something since the session was idle
        self._tail = b""

    def ask(self, data: bytes) -> None:
        self._unread += data
        while (frame := self._frame()) is not None:
            self._read(frame)

    def ends(self, data: bytes) -> bool:
        self._tail = (self._tail + data)[-len(_READY) :]
        if self._tail != _READY:
            return False
        wrote, self._wrote = self._wrote, False
        return wrote

    def _frame(self) -> bytes | None:
        """The next whole one; the first ones of a connection have no letter in front."""
        head = 1 if self._started else 0
        if len(self._unread) < head + 4:
            return None
        end = head + int.from_bytes(self._unread[head : head + 4])
        if len(self._unread) < end:
            return None
        frame = bytes(self._unread[:end])
        del self._unread[:end]
        return frame

    def _read(self, frame: bytes) -> None:
        if not self._started:
            self._started = int.from_bytes(frame[4:8]) == _STARTUP
        elif frame[:1] == b"P":
            name, text, _ = frame[5:].split(b"\0", 2)
            (self._writing.add if _WRITES.search(text) else self._writing.discard)(name)
        elif frame[:1] == b"B":
            _, name, _ = frame[5:].split(b"\0", 2)
            self._wrote |= name in self._writing
        elif frame[:1] == b"Q":
            self._wrote |= _WRITES.search(frame) is not None


class Redis:
    """One connection of RESP: an answer is whatever comes after a request."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self, data: bytes) -> None:
        self._asked |= bool(data)

    def ends(self, data: bytes) -> bool:
        asked, self._asked = self._asked, False
        return asked and bool(data)


SPOKEN: dict[str, type[Postgres | Redis]] = {"postgres": Postgres, "redis": Redis}
