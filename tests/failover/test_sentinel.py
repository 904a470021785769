"""Redis is failed over under load: batches are accepted all the while, applied in two seconds, then rung for again."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest

from shared.redis_urls import Address
from tests.failover.sentinels import DOWN_AFTER_MS, REDIS, SENTINEL, Group, One
from tests.failover.trial import Trial, trial

pytestmark = pytest.mark.skipif(not (REDIS and SENTINEL), reason="Debian's redis-server, redis-sentinel are missing")

LATEST = 2.0  # seconds from accepted to applied
PROMOTED = DOWN_AFTER_MS / 1000 + 10.0  # seconds from the fault until another master is there
BACK = 5.0  # seconds from the promotion until the bell works, and everybody listens to the new master


async def _fail_over(group: Group, run: Trial, former: Address) -> One:
    """Waits until another one is the master, and the service found it."""
    began = time.monotonic()
    master = await group.promoted(former, PROMOTED)
    promoted = time.monotonic() - began
    sys.stdout.write(f"promoted after {promoted:.1f} s, rung again {await run.rings_again(BACK):.1f} s later\n")
    return master


async def _hold_to_promises(run: Trial) -> None:
    assert await run.violations() == []
    assert set(run.statuses) <= {200, 409}, "every batch is accepted, Redis or not"
    assert await run.lateness() < LATEST


async def test_a_master_that_is_killed_costs_no_batch_and_two_seconds(tmp_path: Path, database_url: str) -> None:
    async with Group(tmp_path, replicas=1) as group, trial(database_url, group.url) as run:

        async def deed() -> None:
            await run.rings_again(BACK)
            former = await group.known.ask()
            await group.at(former).kill()
            master = await _fail_over(group, run, former)
            group.at(former).start()  # as what it was; the sentinels make a replica of it
            await asyncio.sleep(3)
            assert await group.master() == ("127.0.0.1", master.port)

        await run.during(deed)
        await _hold_to_promises(run)


@pytest.mark.long
async def test_a_master_that_stands_still_and_comes_back_is_used_by_nobody(tmp_path: Path, database_url: str) -> None:
    async with Group(tmp_path) as group, trial(database_url, group.url) as run:

        async def deed() -> None:
            await run.rings_again(BACK)
            former = await group.known.ask()
            group.at(former).process.send_signal(signal.SIGSTOP)
            await _fail_over(group, run, former)
            group.at(former).process.send_signal(signal.SIGCONT)
            await asyncio.sleep(3)
            await run.rings_again(BACK)

        await run.during(deed)
        await _hold_to_promises(run)
