"""Who goes first in a drain, and how long drains are while somebody waits for them."""

from datetime import UTC, datetime

from shared import ids
from shared.ids import AccountId, BatchId, BatchRef, ThreadId, TokenId, Ulid
from worker.batch import LITTLE, MUCH, Batch, choose, light_ones
from worker.pace import SHORT, SHORT_FOR, Pace
from worker.read import Reader

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


def test_an_account_with_little_goes_before_one_with_much() -> None:
    quiet = waiting("quiet", "q", LITTLE)
    assert light_ones([*waiting("noisy", "n1", MUCH), *waiting("noisy", "n2", 1), *quiet]) == quiet


def test_of_one_account_threads_with_little_go_before_one_with_much() -> None:
    quiet = [*waiting("acme", "q1", 1), *waiting("acme", "q2", LITTLE)]
    assert light_ones([*waiting("acme", "hot", MUCH + 1), *waiting("acme", "warm", LITTLE + 1), *quiet]) == quiet


def test_where_nobody_has_much_nobody_goes_first() -> None:
    assert light_ones([batch for n in range(40) for batch in waiting(f"account {n}", f"thread {n}", LITTLE)]) == []
    assert light_ones(waiting("acme", "only", MUCH)) == []


def test_a_thread_that_somebody_has_locked_does_not_go_first() -> None:
    locked = waiting("quiet", "locked", 1, free=False)
    assert light_ones([*waiting("noisy", "n", MUCH + 1), *locked]) == []


def test_a_batch_does_not_go_before_one_of_its_thread_that_was_still_locked_when_it_was_read() -> None:
    first, second = waiting("quiet", "q", 1, free=False), waiting("quiet", "q", 1)
    assert light_ones([*first, *waiting("noisy", "n", MUCH + 1), *second]) == []


def test_an_account_that_fills_many_partitions_has_one_turn_in_each_round() -> None:
    noisy = [batch for n in range(30) for batch in waiting("noisy", f"n{n}", 5, partition=n)]
    quiet = waiting("quiet", "q", 3, partition=40)
    chosen = choose(numbered([*noisy, *quiet]), 100, 8)
    assert sum(batch.account == "quiet" for batch in chosen.batches) == 3
    assert len(chosen.batches) == 8
    assert chosen.more


def test_a_partition_of_which_not_all_was_read_is_left_by_a_drain_for_those_with_little() -> None:
    hot = waiting("acme", "hot", 25, partition=1)
    quiet = [batch for n in range(25) for batch in waiting("acme", f"quiet {n}", 1, partition=2)]
    choice = Reader(ids.mint(), Pace(500))._choose(numbered([*hot, *quiet]), 25, light=True)
    assert {batch.partition for batch in choice.batches} == {2}
    assert choice.left == {1, 2}  # what a full share kept from being read is not known


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
