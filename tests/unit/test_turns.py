"""Whose turn it is at an executor: accounts go in rounds, with caps, in bounded memory."""

from collections import Counter

import pytest

from shared import ids
from shared.ids import AccountId, ThreadId
from shared.limits import NO_LIMIT
from worker.execute import turns
from worker.execute.caps import Caps
from worker.execute.turns import Turns
from worker.load import Where

NOISY, QUIET, THIRD = (AccountId(ids.mint()) for _ in range(3))


def some(count: int) -> list[Where]:
    return [(1, ThreadId(ids.mint())) for _ in range(count)]


def sorted_turns(**queues: list[Where]) -> tuple[Turns, dict[ThreadId, AccountId]]:
    """Of these accounts, offered in this order and looked up."""
    made, accounts = Turns(), {"noisy": NOISY, "quiet": QUIET, "third": THIRD}
    whose = {thread: accounts[name] for name, where in queues.items() for _, thread in where}
    for where in queues.values():
        made.add(where)
        made.sort(where, whose)
    return made, whose


def test_an_account_with_thousands_keeps_another_one_waiting_for_one_turn() -> None:
    noisy, quiet, third = some(5_000), some(2), some(1)
    made, _ = sorted_turns(noisy=noisy, quiet=quiet, third=third)
    assert [made.take(1, 1, None)[0] for _ in range(6)] == [noisy[0], quiet[0], third[0], noisy[1], quiet[1], noisy[2]]
    made.add(late := some(1))
    made.sort(late, {late[0][1]: THIRD})
    assert made.take(2, 2, None) == [noisy[3], late[0]]


def test_one_taking_for_many_places_goes_in_rounds_and_each_account_by_its_own_order() -> None:
    noisy, quiet = some(5), some(2)
    made, _ = sorted_turns(noisy=noisy, quiet=quiet)
    assert made.take(6, 6, None) == [noisy[0], quiet[0], noisy[1], quiet[1], noisy[2], noisy[3]]


def test_what_was_given_out_and_not_used_comes_back_before_the_others() -> None:
    noisy, quiet = some(5), some(3)
    made, _ = sorted_turns(noisy=noisy, quiet=quiet)
    taken = made.take(6, 2, None)
    made.add_first(taken[2:])
    assert made.take(8, 8, None) == [noisy[1], quiet[1], noisy[2], quiet[2], noisy[3], noisy[4]]
    assert len(made) == 0


def test_what_is_offered_again_while_it_is_given_out_has_one_turn() -> None:
    (one, other) = some(2)
    made, _ = sorted_turns(noisy=[one, other])
    lent = made.take(2, 1, None)
    made.add(lent)
    made.add_first(lent[1:])
    assert (len(made), made.take(9, 9, None)) == (2, [other, one])


def test_who_no_longer_waits_is_forgotten_and_who_is_found_late_goes_first_of_its_account() -> None:
    gone, waits, late = some(2), some(2), some(1)
    made = Turns()
    made.add([*gone, *waits])
    made.add_first(late)
    assert made.unknown(10) == [*late, *gone, *waits]
    made.sort(made.unknown(10), {thread: NOISY for _, thread in (*waits, *late)})
    assert (made.unknown(10), len(made)) == ([], 3)
    assert made.take(9, 9, None) == [*late, *waits]


def test_an_account_at_its_cap_is_passed_over_and_nobody_unknown_is_taken() -> None:
    made, _ = sorted_turns(noisy=some(9), quiet=some(2))
    made.add(some(3))
    caps = Caps(0, lambda: [NOISY, NOISY, QUIET], {NOISY: 3, QUIET: NO_LIMIT})
    taken = made.take(20, 20, caps.left())
    assert len(taken) == 3
    assert len(made) == 8 + 3
    assert Caps(0, list).left() is None
    left = Caps(2, lambda: [THIRD, THIRD], {NOISY: 5}).left()
    assert left is not None
    assert [left(account) for account in (NOISY, QUIET, THIRD)] == [5, 2, 0]


def test_what_is_remembered_is_bounded_and_whoever_has_most_loses_it() -> None:
    made, whose = Turns(), dict[ThreadId, AccountId]()
    quiet = some(3)
    made.add(quiet)
    made.sort(quiet, {thread: QUIET for _, thread in quiet})
    for _ in range(4):
        made.add(more := some(turns.MOST // 2))
        whose |= {thread: NOISY for _, thread in more}
        made.sort(made.unknown(turns.MOST), whose)
        assert len(made) <= turns.MOST
    kept = Counter(thread in dict.fromkeys(t for _, t in quiet) for _, thread in made.take(2 * turns.MOST, 1, None))
    assert kept[True] == 3
    made.add(some(3 * turns.MOST))
    assert len(made) == turns.MOST


def test_more_accounts_than_are_remembered_leave_nothing_behind_but_their_first_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "MOST", 100)
    made, where = Turns(), some(250)
    whose = {thread: AccountId(ids.mint()) for _, thread in where}
    for begin in range(0, 250, 50):
        made.add(part := where[begin : begin + 50])
        made.sort(part, whose)
    assert (len(made), len(made._queues)) == (100, 100), "an account without a thread has no turn"
    asked: list[AccountId] = []

    def left(account: AccountId) -> int:
        asked.append(account)
        return 1

    assert made.take(3, 3, left) == where[:3]
    assert len(asked) <= 4, "who is behind those is not asked about"


def test_who_has_little_keeps_it_while_who_has_most_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST", 10)
    made, whose = sorted_turns(noisy=(noisy := some(8)), quiet=(quiet := some(1)))
    made.add(third := some(6))
    made.sort(third, whose | {thread: THIRD for _, thread in third})
    kept = made.take(99, 99, None)
    assert sorted(kept) == sorted([*noisy[:4], *quiet, *third[:4]]), "from behind, and both to the same number"


@pytest.mark.parametrize("most", [1, 7])
def test_everybody_is_taken_once(most: int) -> None:
    made, whose = sorted_turns(noisy=some(20), quiet=some(5), third=some(1))
    seen: list[Where] = []
    while taken := made.take(most, most, None):
        seen += taken
    assert sorted(thread for _, thread in seen) == sorted(whose)
