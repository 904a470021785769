"""The desk of an executor: whose turn it is, and how much room there is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from shared import ids
from shared.ids import AccountId, RunId, ThreadId
from worker.execute.caps import Caps
from worker.execute.desk import Desk
from worker.execute.leases import Lease

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Office:
    """A desk with what is around it."""

    def __init__(self, capacity: int = 3) -> None:
        self.running: dict[ThreadId, None] = {}
        self.called: list[ThreadId] = []
        self.desk = Desk(ids.mint(), capacity, self.running.keys(), self.call, Caps(0, list))

    def call(self, threads: Sequence[ThreadId]) -> None:
        self.called += threads


def test_a_quiet_desk_takes_nothing_and_tells_others_until_it_works_again(office: Office) -> None:
    first, second = ThreadId(ids.mint()), ThreadId(ids.mint())
    office.desk.rest(quiet=True)
    office.desk.offer([(1, first)])
    office.desk.find([(1, first)])
    assert (office.desk.room, office.desk.reserve(1), office.called) == (0, 0, [first])
    assert not office.desk.filled.is_set()
    office.desk.rest(quiet=False)
    office.desk.offer([(1, second)])
    assert office.desk.filled.is_set()
    with office.desk.wanted() as (offered, room):
        assert (offered, room) == ([(1, second)], 1)


@pytest.fixture
def office() -> Office:
    return Office()


def thread() -> ThreadId:
    return ThreadId(ids.mint())


def lease(of: ThreadId) -> Lease:
    return Lease((1, of), RunId(ids.mint()), 1, NOON, NOON, timedelta(0))


def test_a_drain_gets_no_room_while_somebody_waits(office: Office) -> None:
    assert office.desk.reserve(2) == 2
    office.desk.cancel(2)
    office.desk.offer([(1, thread())])
    assert office.desk.reserve(2) == 0
    with office.desk.wanted():
        assert office.desk.reserve(9) == 2, "what is being taken has its room; the rest is free"


def test_who_has_waited_for_long_goes_first(office: Office) -> None:
    new, old = [(1, thread()) for _ in range(2)], [(1, thread()) for _ in range(2)]
    office.desk.hear(new)
    office.desk.find(old)
    with office.desk.wanted() as (wanted, room):
        assert (wanted, room) == ([*old, *new], 3)


def test_what_is_being_begun_takes_room(office: Office) -> None:
    office.desk.begin([lease(thread()), lease(thread())])
    assert office.desk.room == 1
    with office.desk.leased() as leased:
        assert (len(leased), office.desk.room, office.desk.pending) == (2, 1, True)
        office.running[leased[0].where[1]] = None
        assert office.desk.room == 0
    assert (office.desk.room, office.desk.pending) == (2, False)


def test_room_comes_back_where_taking_fails(office: Office) -> None:
    office.desk.offer([(1, thread()), (1, thread())])
    with pytest.raises(OSError, match="away"), office.desk.wanted():
        raise OSError("away")
    assert (office.desk.room, office.desk.pending) == (3, False)


def test_only_what_is_known_at_first_hand_is_rung_for_others(office: Office) -> None:
    office.running |= dict.fromkeys(thread() for _ in range(3))
    heard, offered, found = thread(), thread(), thread()
    office.desk.hear([(1, heard)])
    office.desk.find([(1, found)])
    office.desk.offer([(1, heard), (1, offered)])
    assert office.called == [offered]


def test_a_desk_without_room_does_not_ask_again_and_again(office: Office) -> None:
    office.running |= dict.fromkeys(thread() for _ in range(3))
    office.desk.offer([(1, thread())])
    with office.desk.leased(), office.desk.wanted() as (wanted, room):
        assert (wanted, room) == ([], 0)
    assert not office.desk.filled.is_set()
    office.running.popitem()
    office.desk.free(thread())
    assert office.desk.filled.is_set()


def test_a_thread_whose_last_run_is_still_here_comes_again_when_that_is_put_away(office: Office) -> None:
    of = thread()
    office.running[of] = None
    office.desk.offer([(1, of)])
    with office.desk.wanted() as (wanted, _):
        assert wanted == []
    del office.running[of]
    office.desk.free(of)
    with office.desk.wanted() as (wanted, _):
        assert wanted == [(1, of)]


def test_a_worker_that_executes_nothing_rings_for_all_that_it_makes_ready() -> None:
    office, ready = Office(0), thread()
    office.desk.offer([(1, ready)])
    assert office.called == [ready]


def test_a_closed_desk_takes_nothing_and_rings_for_others(office: Office) -> None:
    office.desk.closed.set()
    office.desk.offer([(1, ready := thread())])
    assert office.called == [ready]
    assert (office.desk.room, office.desk.reserve(1)) == (0, 0)
    with office.desk.wanted() as (wanted, _):
        assert wanted == []


def test_where_runs_have_caps_drains_start_none_and_nobody_unknown_is_taken(office: Office) -> None:
    """And the desk does not ask again and again for who may not be taken now."""
    noisy, quiet = AccountId(ids.mint()), AccountId(ids.mint())
    office.desk.caps = Caps(1, lambda: [noisy])
    assert office.desk.reserve(1) == 0
    office.desk.offer([(1, of_noisy := thread()), (1, of_quiet := thread())])
    assert [where[1] for where in office.desk.crowd] == [of_noisy, of_quiet]
    office.desk.sort(office.desk.crowd, {of_noisy: noisy, of_quiet: quiet})
    assert office.desk.crowd == []
    with office.desk.wanted() as (wanted, room):
        assert (wanted, room) == ([(1, of_quiet)], 1)
    with office.desk.wanted() as (wanted, room):
        assert (wanted, room) == ([], 0)
    assert not office.desk.filled.is_set()
    office.desk.caps = Caps(1, list)
    office.desk.free(thread())
    assert office.desk.filled.is_set()
    with office.desk.wanted() as (wanted, _):
        assert wanted == [(1, of_noisy)]
