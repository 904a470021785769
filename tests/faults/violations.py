"""What the checker can find."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    LOST = "lost"  # acknowledged, and not stored, not applied, or without its effects
    DUPLICATED = "duplicated"  # stored or applied more than once
    REORDERED = "reordered"  # applied behind a batch that was sent after its answer
    UNEQUAL = "unequal"  # two answers about one batch that differ
    UNASKED = "unasked"  # in the tables, and nobody was told so
    STUCK = "stuck"  # not applied, parked, held, or left in a waiting set
    GARBLED = "garbled"  # what a run said, or what a reader has of a log, is not exactly what it must be
    INCONSISTENT = "inconsistent"  # rows that contradict each other
    ENDED = "ended"  # a process of the service that nobody killed
    REFUSED = "refused"  # an answer that a client with a good request must not get


@dataclass(frozen=True, slots=True)
class Violation:
    kind: Kind
    thread: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} thread {self.thread}: {self.what}"
