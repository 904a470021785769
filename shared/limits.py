"""What an account, or a token, may do at once: a limit that stands in a row comes before the setting's default.

Refused here: any I/O, and counting; who counts is the api (`api.budgets`, `api.room`) and the executor.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

LEAST_RATE = 0.00001  # requests a second: about one a day
MOST_RATE = 100_000.0  # the same; more is no limit
MOST_BURST = 1_000_000
MOST_IN_FLIGHT = 100_000  # batches; each look counts that many rows of an index at most
MOST_CONCURRENCY = 100_000  # runs of one worker
NO_LIMIT = (1 << 31) - 1  # in a row: no limit, whatever the setting says; a rate's is infinity


class Rate(NamedTuple):
    """A bucket of `burst` requests, which fills with `rate` of them a second."""

    rate: float
    burst: int

    @property
    def interval(self) -> float:
        """Seconds that one request takes to come back."""
        return 1 / self.rate

    @property
    def window(self) -> int:
        """Whole seconds in which an empty bucket is full."""
        return max(1, math.ceil(self.burst / self.rate))


class Limits(NamedTuple):
    """What holds for the requests of one token. None: no limit."""

    token: Rate | None
    account: Rate | None
    in_flight: int | None  # batches of the account that are accepted and not applied


class Defaults(Protocol):
    """The settings that hold where a row says nothing. 0: no limit, of a burst: one second's worth."""

    @property
    def token_rate(self) -> float: ...
    @property
    def token_burst(self) -> int: ...
    @property
    def account_rate(self) -> float: ...
    @property
    def account_burst(self) -> int: ...
    @property
    def account_in_flight(self) -> int: ...
    @property
    def account_concurrency(self) -> int: ...


def limits_of(row: Mapping[str, Any], defaults: Defaults) -> Limits | None:
    """The limits of a row with `token_rate`, `token_burst`, `account_rate`, `account_burst` and `in_flight`; None where
    there are none at all.
    """
    found = Limits(
        rate_of(row["token_rate"], row["token_burst"], defaults.token_rate, defaults.token_burst),
        rate_of(row["account_rate"], row["account_burst"], defaults.account_rate, defaults.account_burst),
        number_of(row["in_flight"], defaults.account_in_flight),
    )
    return None if found == (None, None, None) else found


def rate_of(rate: float | None, burst: int | None, default_rate: float, default_burst: int) -> Rate | None:
    """A burst that nobody set is one second's worth; the default's belongs to the default rate."""
    if rate is None:
        rate, burst = default_rate, burst or default_burst
    if not 0 < rate <= MOST_RATE:  # also what is no number: it was not written by us
        return None
    return Rate(max(rate, LEAST_RATE), min(burst or max(1, math.ceil(rate)), MOST_BURST))


def number_of(own: int | None, default: int) -> int | None:
    """A limit that is a number."""
    number = default if own is None else own
    return None if not number or number == NO_LIMIT else number
