"""Places for those who watch: live parts, and what runs say. Each costs a connection and memory, so they are counted.

No owner takes all of them: it has so many and no more, and when all are taken, the owner of most gives its oldest one
up. Refused here: knowing who an owner is.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared.errors import ThreadmillError

MOST = 200  # of one process
MOST_OF_ONE = 50  # of one owner: windows of all who share a token


class TooManyViewers(ThreadmillError):
    """Too many watch already: this page is not updated by itself."""

    status = 503
    code = "service_inactive"


class TooManyWindows(TooManyViewers):
    """Your token watches 50 pages already, or others had no place: this page is not updated by itself."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seat:
    owner: Hashable
    leave: Callable[[], None]


class Seats:
    def __init__(self) -> None:
        self._taken: dict[_Seat, None] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._taken)

    @contextmanager
    def one(self, owner: Hashable, leave: Callable[[], None]) -> Iterator[None]:
        """A place while the block lasts; `leave` is called where somebody who has fewer gets it. Raises
        TooManyViewers.
        """
        seat = _Seat(owner, leave)
        self._take(seat)
        try:
            yield
        finally:
            self._taken.pop(seat, None)

    def _take(self, seat: _Seat) -> None:
        """Raises TooManyViewers where no other owner has more than this one."""
        counts = Counter(taken.owner for taken in self._taken)
        if counts[seat.owner] >= MOST_OF_ONE:
            raise TooManyWindows
        if len(self._taken) >= MOST:
            greediest, count = counts.most_common(1)[0]
            if count <= counts[seat.owner] + 1:
                raise TooManyViewers
            oldest = next(taken for taken in self._taken if taken.owner == greediest)
            del self._taken[oldest]
            oldest.leave()
        self._taken[seat] = None
