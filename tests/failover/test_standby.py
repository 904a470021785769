"""The primary is lost under load and a synchronous standby promoted: nothing that was told is lost.

With an asynchronous one it is, and the checker sees it."""

import asyncio
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from shared.db.connect import connect
from shared.db.migrate import migrate
from tests.failover.standby import Pair
from tests.failover.trial import SMALL, Size, Trial, trial
from tests.faults.history import Request
from tests.faults.violations import Kind
from tests.faults.waiting import until
from tests.variants import one_of

BACK = 15.0  # seconds from the promotion until batches are accepted and applied again
SIZE = Size(workers=2, pace=80)
SERVES = 60.0  # seconds for half of the batches that a run is to have, where the machine does other things as well


async def _migrated(pair: Pair) -> str:
    connection = await connect(pair.url)
    await migrate(connection)
    await connection.close()
    return pair.url


async def _serves(run: Trial) -> None:
    """Waits until new batches are accepted and applied."""
    began, before = time.monotonic(), run.acknowledged
    await run.stack.ready(within=BACK)
    await until("batches are accepted", lambda: _more(run, before), BACK)
    await run.rings_again(BACK)
    sys.stdout.write(f"served {time.monotonic() - began:.1f} s after the promotion\n")


async def _more(run: Trial, before: int) -> bool:
    return run.acknowledged > before + 20


async def _lose_the_primary(pair: Pair, run: Trial) -> None:
    """Under load, half a second after it has stopped to send."""
    await run.rings_again(BACK)
    pair.stop_sending()
    await asyncio.sleep(0.5)
    await pair.kill_primary()
    await pair.promote()
    await _serves(run)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("size", "half"), one_of((SMALL, 50), (SIZE, 500)), ids=["small", "load"])
async def test_a_synchronous_standby_is_promoted_and_nothing_is_lost(
    tmp_path: Path, redis_url: str, size: Size, half: int
) -> None:
    async with Pair(tmp_path) as pair, trial(await _migrated(pair), redis_url, size) as run:
        spans: list[tuple[float, float]] = []

        async def deed() -> None:
            spans.append(await run.serves(half, SERVES))
            await _lose_the_primary(pair, run)
            spans.append(await run.serves(half, SERVES))

        await run.during(deed)
        await run.hold(spans)


@pytest.mark.long
@pytest.mark.parametrize("size", [SMALL, SIZE], ids=["small", "load"])
async def test_an_asynchronous_one_loses_what_it_lacks_and_the_checker_sees_it(
    tmp_path: Path, redis_url: str, size: Size
) -> None:
    pair_of = Pair(tmp_path, synchronous=False)
    async with pair_of as pair, trial(await _migrated(pair), redis_url, size) as run:
        await run.during(lambda: _lose_the_primary(pair, run))
        kinds = {violation.kind for violation in await run.violations()}
        assert Kind.LOST in kinds


async def test_a_commit_that_the_standby_lacks_is_not_told_though_it_can_be_read(
    tmp_path: Path, redis_url: str
) -> None:
    """Its wait was broken off, so the primary shows it: to an api that looks it up, and to who sends it again."""
    async with Pair(tmp_path) as pair, trial(await _migrated(pair), redis_url, Size(apis=1, workers=1)) as run:
        sender = run.load.sender
        first = Request(run.load.threads[0], "m1-1", ({"type": "user_message", "text": "say m1-1"},), "key m1-1")
        run.load.history.append(first)
        pair.stop_sending()
        assert (await sender.send(first)).status in {None, 503}, "nobody knows"
        db = await connect(pair.primary.url)
        await until("its wait is broken off, so it can be read", lambda: _broken_off(db), BACK)
        for _ in range(2):
            assert (await sender.send(first)).status in {None, 503}, "nobody knows yet"
        await db.close()
        await pair.kill_primary()
        await pair.promote()
        await run.stack.ready(within=BACK)
        await sender.settle(first)
        assert first.acknowledged
        assert await run.violations() == []


@pytest.mark.parametrize("again", one_of(True, False), ids=["again and again", "once"])
async def test_a_commit_whose_wait_is_broken_off_is_not_told_to_who_waits_for_it(
    tmp_path: Path, redis_url: str, again: bool
) -> None:
    """It succeeds, with a warning; so does the commit behind it that is to confirm it, where it meets the same."""
    async with Pair(tmp_path) as pair, trial(await _migrated(pair), redis_url, Size(apis=1, workers=1)) as run:
        first = Request(run.load.threads[0], "m1-1", ({"type": "user_message", "text": "say m1-1"},), "key m1-1")
        run.load.history.append(first)
        pair.stop_sending()
        db = await connect(pair.primary.url)
        sending = asyncio.create_task(run.load.sender.send(first))
        await until("its wait is broken off, so it can be read", lambda: _broken_off(db), BACK)
        while again and not sending.done():
            await _broken_off(db)
            await asyncio.sleep(0.02)
        assert (await sending).status in {None, 503}, "nobody knows"
        await db.close()
        await pair.kill_primary()
        await pair.promote()
        await run.stack.ready(within=BACK)
        await run.load.sender.settle(first)
        assert first.acknowledged
        assert await run.violations() == []


async def _broken_off(db: asyncpg.Connection) -> bool:
    """Ends waits for the standby, as whoever restarts or cancels does."""
    await db.execute("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
    return bool(await db.fetchval("select count(*) from batches where events::text like '%m1-1%'"))
