"""What goes through all that waits rests for as long as keeps it to its share of the time."""

from contextlib import suppress

import pytest

from shared.sparing import Sparing


class Hand:
    """A clock that is turned by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("took", "rest"), [(0.01, 0.2), (0.1, 2.0), (1.0, 3.0)])
def test_it_rests_for_so_many_times_what_it_took_and_no_longer_than_its_longest(took: float, rest: float) -> None:
    hand = Hand()
    sparing = Sparing(20, 3.0, hand)
    assert sparing.rest == 0
    with sparing.spent():
        hand.now += took
    assert sparing.rest == pytest.approx(rest)
    hand.now += rest / 2
    assert sparing.rest == pytest.approx(rest / 2)
    hand.now += rest
    assert sparing.rest == 0


def test_what_fails_is_due_again_at_once_and_so_is_what_is_forgotten() -> None:
    hand = Hand()
    sparing = Sparing(20, clock=hand)
    with suppress(OSError), sparing.spent():
        hand.now += 1
        raise OSError
    assert sparing.rest == 0
    with sparing.spent():
        hand.now += 1
    assert sparing.rest == 20
    sparing.forget()
    assert sparing.rest == 0
