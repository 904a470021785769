"""Token buckets of one process: what they give, what comes back with time, and how much they remember."""

import pytest

from api import buckets
from api.buckets import Buckets
from shared.limits import LEAST_RATE, MOST_BURST, NO_LIMIT, Limits, Rate, limits_of
from shared.settings import Settings

TEN = Rate(10, 5)  # a second, at once


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_bucket_gives_its_burst_and_then_its_rate(clock: Clock) -> None:
    own = Buckets(clock)
    assert [own.take([("a", TEN)]).left for _ in range(5)] == [4, 3, 2, 1, 0]
    refused = own.take([("a", TEN)])
    assert (refused.refused, refused.left) == (1, 0)
    assert refused.wait == pytest.approx(0.1)
    clock.now += 0.1
    assert own.take([("a", TEN)]).refused == 0
    assert own.take([("a", TEN)]).refused == 1
    clock.now += 3_600
    assert own.take([("a", TEN)]).left == 4, "never more than the burst"


def test_a_refusal_takes_from_no_bucket_and_names_the_one_that_takes_longest(clock: Clock) -> None:
    own, token, account = Buckets(clock), ("t", Rate(1, 1)), ("a", Rate(0.1, 2))
    assert own.take([token, account])[0] == 0
    assert own.take([token, account])[0] == 1
    assert own.take([account]).refused == 0, "the token's refusal left it"
    both = own.take([token, account])
    assert (both.refused, both.place) == (2, 2)
    assert both.wait == pytest.approx(10)


def test_a_unit_given_back_is_there_again_and_none_is_there_twice(clock: Clock) -> None:
    own = Buckets(clock)
    own.take([("a", TEN)])
    for _ in range(3):
        own.take([("a", TEN)], -1)
    assert own.take([("a", TEN)]).left == 4


def test_a_limit_that_is_lowered_holds_at_once_and_forgives_what_was_taken_before(clock: Clock) -> None:
    own = Buckets(clock)
    for _ in range(5):
        own.take([("a", TEN)])
    assert own.take([("a", Rate(1, 1))]).wait == pytest.approx(0.5)  # not the five seconds that five units would take
    clock.now += 1
    assert own.take([("a", Rate(1, 1))]).refused == 0


def test_buckets_of_many_callers_take_a_bounded_memory(clock: Clock) -> None:
    own, slow = Buckets(clock), Rate(0.001, 1)
    for n in range(3 * buckets.LIMIT):
        own.take([(f"token {n}", slow)])
        assert len(own) <= buckets.LIMIT


ROW = {"token_rate": None, "token_burst": None, "account_rate": None, "account_burst": None, "in_flight": None}


def test_limits_are_the_rows_own_else_the_settings() -> None:
    none = Settings()
    set_ = Settings(token_rate=5, account_rate=0.5, account_in_flight=9)
    assert limits_of(ROW, none) is None
    assert limits_of(ROW, set_) == Limits(Rate(5, 5), Rate(0.5, 1), 9)
    own = ROW | {"token_rate": 2.0, "account_rate": float("inf"), "in_flight": NO_LIMIT}
    assert limits_of(own, set_) == Limits(Rate(2, 2), None, None)
    assert limits_of(own | {"token_rate": float("inf")}, set_) is None
    odd = limits_of(ROW | {"token_rate": float("nan"), "account_rate": 1e-300, "account_burst": 2_000_000_000}, none)
    assert odd == Limits(None, Rate(LEAST_RATE, MOST_BURST), None), "whatever somebody wrote into a row by hand"
    assert limits_of(ROW | {"account_burst": 7}, set_.model_copy(update={"account_burst": 3})) == Limits(
        Rate(5, 5), Rate(0.5, 7), 9
    )
