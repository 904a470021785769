"""Builds that are wrong on purpose, which the fault run must catch; and settings that refuse them elsewhere."""

import sys
from dataclasses import replace

import pytest
from pydantic import ValidationError

from shared.crashpoints import SWITCHES
from shared.settings import Settings
from tests.faults.injector import KINDS
from tests.faults.run import ROLES, Plan, fault_run
from tests.faults.servers import Servers
from tests.faults.users.verdict import LOST
from tests.faults.violations import Kind

pytestmark = pytest.mark.timeout(1_200)  # where it takes the last of the seeds, and none comes to rest

# Few threads, and clients that do not wait: batches of one thread are always under way together.
CROWDED = Plan(batches=1_200, threads=4, prefer_async=1.0, repeated=0.0, apis=2, workers=3, pace=400.0)
NO_FAULTS = (0,) * len(KINDS)
SEEDS = range(1, 7)  # a race may not be lost at the first try: mostly it is at the first or second


def only(kind: str) -> tuple[int, ...]:
    """The weights of a run with this one kind of fault."""
    return tuple(int(kind == other) for other in KINDS)


# Runs that are long under way elsewhere when a worker whose lease ran out wakes up.
LATE_WORKERS = Plan(
    seconds=40.0,
    users=12,
    lengths=(2, 10),
    workers=2 * len(ROLES),  # so that another one executes while two or three are stopped
    threads=20,
    pace=20.0,
    weights=only("stop worker past its lease"),
)


async def is_caught(servers: Servers, plan: Plan, switch: str, *kinds: Kind) -> bool:
    """Whether the checker finds each of these kinds, in one run or another."""
    missing = set(kinds)
    for seed in SEEDS:
        report = await fault_run(replace(plan, seed=seed, testing=switch), servers)
        sys.stdout.write(f"{switch}: {report.line()}\n")  # pytest's -rP shows how soon
        missing -= set(report.kinds)
        if not missing:
            return True
    return False


@pytest.mark.long
async def test_a_build_that_is_right_is_not(servers: Servers) -> None:
    """The same load, with interrupts that find nothing, repeats, and answers that wait and that do not."""
    plan = replace(CROWDED, weights=NO_FAULTS, batches=600, repeated=0.2, prefer_async=0.5)
    report = await fault_run(plan, servers)
    assert report.acknowledged > 500
    assert [str(violation) for violation in report.violations] == []


@pytest.mark.long
async def test_a_build_without_the_key_index_is_caught(servers: Servers) -> None:
    plan = replace(CROWDED, weights=NO_FAULTS, repeated=0.1)
    assert await is_caught(servers, plan, "no_key_index", Kind.DUPLICATED)


@pytest.mark.long
async def test_a_build_that_answers_before_it_writes_is_caught(servers: Servers) -> None:
    plan = replace(CROWDED, weights=only("kill api"), batches=2_400)
    assert await is_caught(servers, plan, "ack_before_commit", Kind.LOST)


@pytest.mark.long
async def test_a_build_whose_queue_is_redis_alone_is_caught(servers: Servers) -> None:
    assert await is_caught(servers, replace(CROWDED, weights=only("flush redis")), "redis_only", Kind.LOST)


@pytest.mark.long
async def test_a_build_that_reads_in_the_locks_own_statement_is_caught(servers: Servers) -> None:
    plan = replace(CROWDED, weights=NO_FAULTS)
    assert await is_caught(servers, plan, "stale_read", Kind.UNASKED)


@pytest.mark.long
async def test_a_build_that_skips_locked_batches_is_caught(servers: Servers) -> None:
    assert await is_caught(servers, replace(CROWDED, weights=NO_FAULTS), "skip_locked", Kind.REORDERED)


@pytest.mark.long
async def test_a_late_worker_that_is_refused_costs_nobody_a_word(servers: Servers) -> None:
    for seed in (1, 2):
        report = await fault_run(replace(LATE_WORKERS, seed=seed), servers)
        assert report.users is not None
        assert report.users[LOST] > 0, report.line()
        assert [str(violation) for violation in report.violations] == []


@pytest.mark.long
async def test_a_build_whose_late_worker_writes_on_is_caught(servers: Servers) -> None:
    """By what its users asked for and heard."""
    assert await is_caught(servers, LATE_WORKERS, "ignore_epoch", Kind.GARBLED, Kind.INCONSISTENT)


@pytest.mark.parametrize("switch", [*SWITCHES, "crash:worker.after_lock", "poison_kill:text"])
def test_faults_are_refused_outside_tests(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADMILL_TESTING", switch)
    monkeypatch.delenv("THREADMILL_ENV", raising=False)
    with pytest.raises(ValidationError, match="refused unless THREADMILL_ENV=test"):
        Settings()
    monkeypatch.setenv("THREADMILL_ENV", "test")
    assert Settings().testing == switch


def test_a_fault_that_nothing_looks_for_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown fault 'crash:nowhere'"):
        Settings(testing="crash:nowhere", env="test")
