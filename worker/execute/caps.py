"""Caps on runs: how many of one account this worker executes at once, by setting or by the account's own number.

Accounts without a cap are not counted. Refused here: any I/O.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from shared.ids import AccountId
from shared.limits import NO_LIMIT, number_of


@dataclass(slots=True)
class Caps:
    default: int  # 0: none
    executing: Callable[[], Iterable[AccountId]]  # whose runs this worker executes, one for each
    own: Mapping[AccountId, int] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return bool(self.default or self.own)

    def left(self) -> Callable[[AccountId], int] | None:
        """How many more runs of an account there may be, as of now; None where nobody has a cap."""
        if not self.any:
            return None
        counts = Counter(self.executing())

        def of(account: AccountId) -> int:
            cap = number_of(self.own.get(account), self.default)
            return NO_LIMIT if cap is None else cap - counts[account]

        return of
