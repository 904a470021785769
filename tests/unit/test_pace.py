"""Who goes first in a drain, and how long drains are while somebody waits for them."""

import asyncio
from datetime import UTC, datetime

import pytest

from shared import ids, queue
from shared.ids import AccountId, BatchId, BatchRef, ThreadId, TokenId, Ulid
from worker.batch import PER_ACCOUNT, Batch, choose
from worker.pace import (
    ENOUGH,
    ENOUGH_UNAWAITED,
    LATEST,
    LONG,
    LONGEST,
    LONGEST_UNAWAITED,
    SEVERAL_FOR,
    SHORT,
    SHORT_FOR,
    Pace,
    pause,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def waiting(account: str, thread: str, count: int, partition: int = 1, *, free: bool = True) -> list[Batch]:
    """So many batches of one thread."""
    return [
        Batch(
            partition=partition,
            id=BatchId(1),
            ref=BatchRef(ids.mint()),
            thread=ThreadId(Ulid(thread)),
            account=AccountId(Ulid(account)),
            token=TokenId(Ulid("token")),
            events="[]",
            reply_to=None,
            accepted_at=NOW,
            attempts=0,
            suspect=0,
            free=free,
        )
        for _ in range(count)
    ]


def numbered(batches: list[Batch]) -> list[Batch]:
    return [batch._replace(id=BatchId(n)) for n, batch in enumerate(batches, start=1)]


def test_an_account_that_fills_many_partitions_has_one_turn_in_each_round() -> None:
    noisy = [batch for n in range(30) for batch in waiting("noisy", f"n{n}", 5, partition=n)]
    quiet = waiting("quiet", "q", 3, partition=40)
    chosen = choose(numbered([*noisy, *quiet]), 100, 8)
    assert sum(batch.account == "quiet" for batch in chosen.batches) == 3
    assert len(chosen.batches) == 8
    assert chosen.more


def test_of_more_accounts_than_a_drain_has_places_all_come_to_their_turn() -> None:
    everyone = numbered([batch for n in range(2 * SHORT) for batch in waiting(f"a{n}", f"t{n}", 2)])
    drains = [choose(everyone, 100, SHORT) for _ in range(100)]  # one is in none of them once in 10^28 times
    assert all(drain.more and len(drain.batches) == SHORT for drain in drains)
    assert len({batch.account for drain in drains for batch in drain.batches}) == 2 * SHORT


def test_drains_are_short_for_a_while_after_somebody_with_little_was_met() -> None:
    now = 100.0
    pace = Pace(500, clock=lambda: now)
    assert (pace.short, pace.most()) == (False, 500)
    pace.hurry()
    assert (pace.short, pace.most()) == (True, SHORT)
    now += SHORT_FOR
    assert (pace.short, pace.most()) == (False, 500)


def test_a_drain_is_never_longer_than_its_limit() -> None:
    pace = Pace(10)
    pace.hurry()
    assert pace.most() == 10


@pytest.mark.parametrize("awaited", [True, False])
def test_one_worker_never_pauses(awaited: bool) -> None:
    assert not any(pause(0.01, applied, 1, cycle=0.01, awaited=awaited) for applied in (0, 1, 20, 500))


@pytest.mark.parametrize("awaited", [True, False])
def test_workers_pause_as_long_as_the_others_drain(awaited: bool) -> None:
    assert pause(0.01, 20, 2, cycle=0.02, awaited=awaited) == 0.01
    assert pause(0.01, 20, 3, cycle=0.02, awaited=awaited) == 0.02


@pytest.mark.parametrize(("awaited", "enough"), [(True, ENOUGH), (False, ENOUGH_UNAWAITED)])
def test_a_pause_ends_when_a_drain_is_worth_its_cost(awaited: bool, enough: int) -> None:
    assert pause(0.01, enough, 8, cycle=0.02, awaited=awaited) == 0
    assert pause(0.01, enough // 2, 8, cycle=0.02, awaited=awaited) == 0.01


def test_a_pause_is_short_however_many_workers_there_are() -> None:
    assert pause(0.0145, 20, 64, cycle=0.0145, awaited=True) == LONGEST
    assert pause(0.0145, 20, 64, cycle=0.0145, awaited=False) == LONGEST


def test_a_pause_is_longer_where_drains_are_and_nobody_waits() -> None:
    assert pause(0.04, 20, 64, cycle=0.04, awaited=True) == LONGEST
    assert pause(0.04, 20, 64, cycle=0.04, awaited=False) == 0.08
    assert pause(0.06, 20, 64, cycle=0.06, awaited=False) == LONGEST_UNAWAITED


@pytest.mark.parametrize("awaited", [True, False])
def test_what_rang_in_a_pause_is_not_anybodys_when_it_is_over(awaited: bool) -> None:
    for seconds in (0.01, 0.09, 0.12, 0.17, 0.19, 3.0):
        rest = pause(seconds, 60, 4, cycle=seconds, awaited=awaited)
        assert rest == 0 or seconds + rest <= LATEST < queue.LONG.total_seconds()


async def test_somebody_who_waits_is_remembered_for_a_second() -> None:
    now = 0.0
    pace = Pace(500, clock=lambda: now)
    assert not pace.awaited
    pace.answer()
    now = SHORT_FOR / 2
    assert pace.awaited
    now = SHORT_FOR
    assert not pace.awaited


@pytest.mark.parametrize("awaited", [True, False])
def test_nobody_pauses_for_a_batch_or_two(awaited: bool) -> None:
    assert pause(0.004, 1, 2, cycle=0.004, awaited=awaited) == 0
    assert pause(0.004, 1, 64, cycle=0.04, awaited=awaited) == 0
    assert pause(0.004, 0, 64, cycle=0.004, awaited=awaited) == 0


async def backlogs(pace: Pace, count: int, seconds: float) -> int:
    """How many drains of the backlog were at work at once, of so many of so many seconds."""
    working = most = 0

    async def drain() -> None:
        nonlocal working, most
        async with pace.turn():
            working += 1
            most = max(most, working)
            await asyncio.sleep(seconds)
            working -= 1

    await asyncio.gather(*(drain() for _ in range(count)))
    return most


async def test_while_somebody_with_little_is_about_a_backlog_has_one_drain_at_a_time() -> None:
    pace = Pace(500)
    assert await backlogs(pace, 3, 0.01) == 3
    pace.hurry()
    assert await backlogs(pace, 3, 0.01) == 1


async def test_a_drain_that_hangs_is_waited_for_a_second_and_gives_nobody_else_s_turn_away() -> None:
    pace = Pace(500, clock=lambda: 0.0)
    pace.hurry()
    time = asyncio.get_running_loop().time
    async with pace.turn():
        began = time()
        async with pace.turn():
            assert LONG <= time() - began < 5 * LONG
        assert pace._in_turn.locked()
    assert not pace._in_turn.locked()


async def test_who_comes_back_at_once_waits_for_the_next_one_s_drain_a_second_at_most() -> None:
    pace = Pace(500, clock=lambda: 0.0)
    pace.hurry()
    ended = asyncio.Event()

    async def hang() -> None:
        async with pace.turn():
            await ended.wait()

    async with pace.turn():
        hanging = asyncio.create_task(hang())
        await asyncio.sleep(0)
    async with asyncio.timeout(5 * LONG):
        async with pace.turn():  # the lock is free, and the other one's already
            assert not hanging.done()
    ended.set()
    await hanging


async def test_who_is_cancelled_in_the_queue_leaves_the_turn_to_others() -> None:
    pace = Pace(500, clock=lambda: 0.0)
    pace.hurry()
    async with pace.turn():
        waiting_one = asyncio.create_task(backlogs(pace, 1, 0))
        await asyncio.sleep(0.01)
        waiting_one.cancel()
        await asyncio.wait([waiting_one])
    assert await backlogs(pace, 2, 0.01) == 1


ONE, TWO = AccountId(Ulid("one")), AccountId(Ulid("two"))


def test_an_account_is_alone_while_no_other_one_was_met_lately() -> None:
    now = 0.0
    pace = Pace(500, clock=lambda: now)
    assert pace.lone is None  # nobody was met
    pace.meet({ONE})
    assert pace.lone is None
    now += SEVERAL_FOR - 1
    pace.meet({ONE})
    now += 1
    assert pace.lone == ONE
    pace.meet(set())
    pace.meet({ONE})
    assert pace.lone == ONE
    pace.meet({ONE, TWO})
    assert pace.lone is None
    now += SEVERAL_FOR - 1
    pace.meet({TWO})
    now += SEVERAL_FOR - 1
    pace.meet({TWO})
    now += 1
    assert pace.lone == TWO
    pace.meet({ONE})
    assert pace.lone is None


def test_who_was_met_long_ago_is_not_known_to_be_alone() -> None:
    now = 0.0
    pace = Pace(500, clock=lambda: now)
    for now in (0.0, SEVERAL_FOR - 1, SEVERAL_FOR):  # noqa: B007 - the clock reads it
        pace.meet({ONE})
    assert pace.lone == ONE
    now += SEVERAL_FOR
    assert pace.lone is None
    pace.meet({ONE})
    assert pace.lone is None


def test_drains_of_a_lone_account_go_deeper_as_long_as_all_that_they_read_is_taken() -> None:
    pace = Pace(500)
    pace.went(400, 400, 4)
    assert pace.depth == 125
    pace.went(500, 500, 1)
    assert pace.depth == 500  # and no deeper than a drain is long
    pace.went(500, 500, 8)
    pace.went(30, 30, 2)
    assert pace.depth == 500
    pace.went(500, 50, 1)
    assert pace.depth == 250
    for _ in range(2):
        pace.went(250, 50, 1)
    assert pace.depth == PER_ACCOUNT
