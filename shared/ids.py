"""ULIDs as text, minted and compared without a round trip through an object.

An id is 26 characters of Crockford's base 32 in upper case. Its text sorts as its bytes do, so ids are
compared as strings everywhere. In Postgres it is a `uuid` (16 bytes); `shared.db.connect` sets the codec.
Source: https://github.com/ulid/spec. Refused here: reading a clock, except in `mint`, whose name says it.
"""

import os
import re
import time
import zlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NewType

Ulid = NewType("Ulid", str)
AccountId = NewType("AccountId", Ulid)
TokenId = NewType("TokenId", Ulid)
AgentId = NewType("AgentId", Ulid)
ThreadId = NewType("ThreadId", Ulid)
RunId = NewType("RunId", Ulid)
EventId = NewType("EventId", Ulid)
RequestId = NewType("RequestId", Ulid)
MessageId = NewType("MessageId", Ulid)
FileId = NewType("FileId", Ulid)
BatchRef = NewType("BatchRef", Ulid)
BatchId = NewType("BatchId", int)

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PATTERN = r"^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"
_SHAPE = re.compile(PATTERN[:-1] + r"\Z")  # `$` would let a final newline through
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
_TO_BASE_32 = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_NEXT = dict(pairwise(ALPHABET))
# Ids of a process whose text is at hand: the same ones come again within moments. 4 MiB, both ways.
_REMEMBERED = 1 << 13
_POOL = 4096  # bytes of randomness fetched at once: a call of the system each costs more than the id
_CHARACTERS = (ALPHABET * 8).encode()  # of each random byte: all equally likely, because 256 is eight times 32
_COUNTS = 1 << 20  # ids of one process in one millisecond
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(_REMEMBERED)
def from_bytes(value: bytes) -> Ulid:
    """The text of 16 bytes. Thirteen look-ups of two characters: half the time of a loop."""
    n, p = int.from_bytes(value, "big"), _PAIRS
    return Ulid(
        p[n >> 120]
        + p[n >> 110 & 1023]
        + p[n >> 100 & 1023]
        + p[n >> 90 & 1023]
        + p[n >> 80 & 1023]
        + p[n >> 70 & 1023]
        + p[n >> 60 & 1023]
        + p[n >> 50 & 1023]
        + p[n >> 40 & 1023]
        + p[n >> 30 & 1023]
        + p[n >> 20 & 1023]
        + p[n >> 10 & 1023]
        + p[n & 1023]
    )


@lru_cache(_REMEMBERED)
def to_bytes(value: str) -> bytes:
    """The 16 bytes of an id in upper case. Python reads base 32 itself, with another alphabet."""
    return int(value.translate(_TO_BASE_32), 32).to_bytes(16, "big")


def parse(text: str) -> Ulid | None:
    """The id that `text` spells in either case, in upper case; None where it spells none."""
    return Ulid(text.upper()) if _SHAPE.match(text) else None


def parse_file(text: str) -> FileId | None:
    """The file that `text` names, with or without `file_` before its id; None where no file can have that name."""
    value = parse(text.removeprefix("file_"))
    return None if value is None else FileId(value)


def mint() -> Ulid:
    """A new id of this machine's clock, beyond all that this process minted. Ids of thread events come from `at`."""
    return _clock.next()


def at(moment: datetime) -> Ulid:
    """A new id of the given moment (Postgres' clock, for what is ordered by it)."""
    return Ulid(_stem_of(moment) + _chance(16))


def earliest(moment: datetime) -> Ulid:
    """The first of all ids of that moment: a bound for ranges, nobody's id."""
    return Ulid(_stem_of(moment) + "0" * 16)


@lru_cache(16)  # a drain has one time for all of its threads
def _stem_of(moment: datetime) -> str:
    return _stem((moment - _EPOCH) // _MILLISECOND)


def _stem(ms: int) -> str:
    """The ten characters of a time; the sixteen behind it are chance."""
    p = _PAIRS
    return p[ms >> 40] + p[ms >> 30 & 1023] + p[ms >> 20 & 1023] + p[ms >> 10 & 1023] + p[ms & 1023]


class _Chance:
    """Random characters, of the system's generator, fetched by the pool."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._pool, self._at = "", 0

    def __call__(self, size: int) -> str:
        at = self._at
        if at + size > len(self._pool):
            self._pool, at = os.urandom(_POOL).translate(_CHARACTERS).decode(), 0
        self._at = at + size
        return self._pool[at : at + size]


class _Clock:
    """Ids in their order, also within a millisecond and when the clock is set back: a time, a count, chance."""

    __slots__ = ("_count", "_ms", "_time")

    def __init__(self) -> None:
        self._ms = self._count = 0
        self._time = ""

    def next(self) -> Ulid:
        now = time.time_ns() // 1_000_000
        if now > self._ms:
            self._begin(now)
        elif self._count == _COUNTS - 1:
            self._begin(self._ms + 1)
        else:
            self._count += 1
        count = self._count
        return Ulid(self._time + _PAIRS[count >> 10] + _PAIRS[count & 1023] + _chance(12))

    def _begin(self, ms: int) -> None:
        self._ms, self._time, self._count = ms, _stem(ms), 0


_chance = _Chance()
_clock = _Clock()
os.register_at_fork(after_in_child=_chance._forget)  # a child must not mint its parent's ids


def successor(value: str) -> Ulid:
    """The next id after `value`; carries to the left as a number does."""
    stem = value.rstrip("Z")
    return Ulid(stem[:-1] + _NEXT[stem[-1]] + "0" * (len(value) - len(stem)))


def partition_of(thread: str, partitions: int) -> int:
    """The partition of a thread: a hash of its id, the same in every process and for ever."""
    return zlib.crc32(thread.encode()) % partitions
