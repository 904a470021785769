"""Who goes first at the door: an account with few requests under way, beside one with many.

All of them share one loop and the cores of one machine, and whoever sends as fast as it gets answers takes all of both.
So while others are about, an account with many goes behind those with few, and after each of its flushes rests for as
long as that took: it has half of the time at most. Alone, it has all; and one place in some is always for those with
many. Refused here: limits, which an operator sets, and any order between requests of one account.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from shared.ids import AccountId
from shared.metrics import YIELDED

MUCH = 16  # requests of one account under way, beside which others have few
LITTLE = 4  # requests of one that waits for its answers, or a quarter of what the other one has
WARY = 1.0  # seconds after others were met
LONGEST = 0.05  # seconds of a rest: a flush that hangs is nobody's doing
PLACES = 8  # of so many in a flush the first is for those with many: others would fill flush after flush


class Sent(Protocol):
    """What waits for a flush."""

    @property
    def account(self) -> AccountId: ...


T = TypeVar("T", bound=Sent)


@dataclass(slots=True)
class Precedence:
    _wary_until: float = field(default=float("-inf"))  # of the loop's clock, as all times here
    _rest_until: float = field(default=float("-inf"))
    owes: bool = False  # what was ordered last has somebody with many: `rest` is to be called behind it

    def order(self, waiting: Sequence[T]) -> Sequence[T]:
        """Those that may go now, in their order; those of one account keep theirs. Empty where all have to rest."""
        self.owes = False
        now = asyncio.get_running_loop().time()
        if len(waiting) <= MUCH and now >= self._wary_until:
            return waiting
        counts = Counter(one.account for one in waiting)
        most = max(counts.values(), default=0)
        little = max(LITTLE, most // 4)
        first = [one for one in waiting if counts[one.account] <= little]
        if most > MUCH and first:
            self._wary_until = now + WARY
        if now >= self._wary_until or most <= MUCH // 2:
            return waiting
        if now < self._rest_until:
            YIELDED.inc(len(waiting) - len(first))
            return first
        self.owes = True
        return _shared(first, [one for one in waiting if counts[one.account] > little])

    @property
    def rest_until(self) -> float:
        return self._rest_until

    def rest(self, began: float) -> None:
        """What was ordered last is written, and answered; it was begun at `began`."""
        now = asyncio.get_running_loop().time()
        self._rest_until = now + min(now - began, LONGEST)


def _shared(first: Sequence[T], many: Sequence[T]) -> Sequence[T]:
    """Those with few, one with many before each few of them: more of them may wait than fit into a flush."""
    few = PLACES - 1
    rounds = -(-len(first) // few)
    ordered: list[T] = []
    for n in range(rounds):
        ordered += many[n : n + 1]
        ordered += first[few * n : few * (n + 1)]
    return [*ordered, *many[rounds:]]
