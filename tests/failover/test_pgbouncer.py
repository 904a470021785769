"""The service behind a PgBouncer in transaction mode: nothing of it hangs on a session of its own."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from shared.db.connect import AWAY, Line, connect, open_pool
from shared.db.migrate import Migration, NotThroughPooler, migrate, migrations
from shared.db.way import Misconfigured
from tests.failover.trial import SMALL, Size, trial
from tests.locks import locks
from tests.pooler import PROGRAM, Pooler, start_pooler
from tests.servers import execute, on_database
from tests.variants import one_of

pytestmark = pytest.mark.skipif(not PROGRAM, reason="Debian's pgbouncer is missing")

BACK = 10.0  # seconds in which the service serves again
ENDED = 20.0  # seconds in which a process that can't start has ended, on a busy machine
SET = ("lock_timeout", "enable_seqscan", "statement_timeout", "idle_in_transaction_session_timeout")
SIZE = Size(workers=3, pace=100)
SERVES = 60.0  # seconds for half of the batches that a run is to have, where the machine does other things as well
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def pooler(tmp_path: Path, database_url: str) -> AsyncIterator[Pooler]:
    pooler = await start_pooler(tmp_path / "pooler", database_url)
    yield pooler
    await pooler.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("size", "half"), one_of((SMALL, 50), (SIZE, 500)), ids=["small", "load"])
async def test_workers_and_the_pooler_are_killed_and_stopped_and_nothing_is_lost(
    pooler: Pooler, database_url: str, redis_url: str, size: Size, half: int
) -> None:
    async with trial(pooler.url, redis_url, size, straight=database_url) as run:
        workers, spans = run.stack.workers, list[tuple[float, float]]()

        async def deed() -> None:
            spans.append(await run.serves(half, SERVES))
            await run.rings_again(BACK)
            await workers[0].kill()
            workers[0].restart()
            workers[1].signal(signal.SIGSTOP)  # in a drain, mostly: the pooler's setting takes its transaction away
            await asyncio.sleep(4)
            workers[1].signal(signal.SIGCONT)
            await pooler.kill()
            await asyncio.sleep(1)
            await pooler.start()
            await run.stack.ready(within=BACK)
            await run.rings_again(BACK)
            spans.append(await run.serves(half, SERVES))

        await run.during(deed)
        await run.hold(spans)


async def test_migrations_go_through_it_too_and_two_at_once_wait_for_each_other(
    tmp_path: Path, database_url: str
) -> None:
    name = urlsplit(database_url).path.removeprefix("/") + "_empty"
    await execute(database_url, f"create database {name} template template0")
    pooler = await start_pooler(tmp_path / "pooler", on_database(database_url, name))
    both = [await connect(pooler.url) for _ in range(2)]
    done = await asyncio.gather(*(migrate(one) for one in both))
    assert sum(map(len, done)) == len(migrations())
    for one in both:
        await one.close()
    await pooler.stop()
    await execute(database_url, f"drop database {name} with (force)")


async def test_what_can_not_be_in_a_transaction_is_refused_before_anything_is_changed(
    pooler: Pooler, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations()
    plain = Migration(known[-1].version + 1, "plain", "-- Works with: 26\nalter table accounts add column word text;")
    text = "-- Works with: 26\n-- Outside of a transaction\ncreate index concurrently by_word on accounts (name);"
    later = (*known, plain, Migration(plain.version + 1, "by_word", text))
    monkeypatch.setattr("shared.db.migrate.migrations", lambda: later)
    connection = await connect(pooler.url)
    with pytest.raises(NotThroughPooler, match=r"by_word: .*DATABASE_URL that leads to Postgres itself"):
        await migrate(connection)
    assert await connection.fetchval("select max(version) from schema_migrations") == known[-1].version
    assert not await locks(connection)
    monkeypatch.setattr("shared.db.migrate.migrations", lambda: later[:-1])
    assert await migrate(connection) == [plain]
    await connection.close()


async def test_who_does_not_say_that_a_pooler_is_in_between_is_told_so_at_once(pooler: Pooler) -> None:
    straight = pooler.url.replace("pgbouncer=true", "pgbouncer=false")
    pool = await open_pool(straight)
    for attempt in (connect(straight), Line(straight, lock_timeout="17").get(), pool.fetchval("select 1")):
        with pytest.raises(Misconfigured, match=r"^DATABASE_URL: .*pgbouncer=true \(unsupported startup parameter"):
            await attempt
    pool.terminate()


async def test_a_pooler_in_statement_mode_ends_whoever_starts_behind_it(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    pooler = await start_pooler(tmp_path / "pooler", database_url, mode="statement")
    env = {**os.environ, "DATABASE_URL": pooler.url, "REDIS_URL": redis_url, "THREADMILL_PORT": "0"}
    for program in ("deploy.cli migrate", "api", "worker"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *program.split()),
            cwd=ROOT,
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(ENDED):
                told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 2, told
        assert b"the pooler is in statement mode, transaction mode is needed: pool_mode = transaction" in told
    await pooler.stop()


async def test_what_one_sets_for_its_session_is_nobodys_setting(pooler: Pooler) -> None:
    line = Line(pooler.url, lock_timeout="17", enable_seqscan="on", application_name="threadmill test")
    other = await connect(pooler.url, statement_timeout="1")
    for connection in (await line.get(), other):
        told = [await connection.fetchval("select current_setting($1)", name) for name in SET]
        assert told == ["5s", "off", "0", "2s"], "what pgbouncer.ini says"
    assert await (await line.get()).fetchval("select current_setting('application_name')") == "threadmill test"
    await other.close()
    await line.close()


async def test_a_transaction_whose_owner_sleeps_is_taken_away(pooler: Pooler) -> None:
    connection = await connect(pooler.url)
    await connection.execute("begin")
    await connection.execute("select pg_advisory_xact_lock(1, 1)")
    await asyncio.sleep(2.5)
    with pytest.raises((*AWAY, asyncpg.PostgresError)):
        await connection.execute("select 1")
    other = await connect(pooler.url)
    async with other.transaction():
        assert await other.fetchval("select pg_try_advisory_xact_lock(1, 1)")
    await other.close()


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_all_that_the_service_does_works_behind_it() -> None:
    """Accept, apply, execute, stream, permissions, the command line and its doctor, the console: by their own tests."""
    process = await asyncio.create_subprocess_exec(
        *("make", "--silent", "test-pooler"),
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "THREADMILL_"))},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    sys.stdout.write(told.decode()[-5000:])
    assert process.returncode == 0
    assert int(re.findall(rb"(\d+) passed", told)[-1]) > 300
