"""What comes of connecting where something is wrong: no session is left, and what no retry mends is said at once."""

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from shared.db.connect import ALIVE, AWAY, BY_INDEX, Line, connect, durably, is_pooled, open_pool
from shared.db.way import Misconfigured
from shared.settings import Settings
from tests.servers import execute
from tests.watch import until
from worker.poison import is_state

ROOT = Path(__file__).parents[2]
SOON = 20.0  # seconds for a process to read its settings and to give up, on a busy machine


@pytest.mark.straight
async def test_a_session_that_can_not_be_prepared_is_closed(settings: Settings, pool: asyncpg.Pool) -> None:
    if (await pool.fetchval("select current_setting('server_version_num')::int")) < 170000:
        pytest.skip("before Postgres 17 there is no transaction_timeout, so nothing is set behind the start")
    for wrong in ("-2", "no number"):
        kept: list[BaseException] = []  # with its traceback an error keeps what it has seen, as a log may
        for _ in range(3):
            with pytest.raises((asyncpg.PostgresError, ValueError)) as caught:
                await connect(settings.database_url, transaction_timeout=wrong, application_name="left behind")
            kept.append(caught.value)
        await until(lambda: _none_left(pool))
        assert len(kept) == 3


async def _none_left(pool: asyncpg.Pool) -> bool:
    left = "select count(*) from pg_stat_activity where application_name = 'left behind'"
    return not await pool.fetchval(left)


@pytest.mark.straight
async def test_a_session_is_set_where_it_is_ours_and_no_pooler_is_seen_where_there_is_none(settings: Settings) -> None:
    await execute(settings.database_url, f'alter database "{name_in(settings)}" set synchronous_commit to off')
    line = Line(settings.database_url, **BY_INDEX, lock_timeout="17")
    pool = await open_pool(settings.database_url, bound=durably)
    async with pool.acquire() as of_a_pool:
        for connection in (await line.get(), of_a_pool):
            assert not is_pooled(connection)
            told = [await connection.fetchval("select current_setting($1)", name) for name in ALIVE]
            assert told == list(ALIVE.values())
        assert await of_a_pool.fetchval("show synchronous_commit") == "on"
        assert await (await line.get()).fetchval("show lock_timeout") == "17ms"
    await line.close()
    pool.terminate()


def name_in(settings: Settings) -> str:
    return urlsplit(settings.database_url).path.removeprefix("/")


WRONG = [
    ("sslmode=verify-full", "root certificate file"),
    ("sslmode=verify-full&sslrootcert=/nowhere/root.crt", "there is no file sslrootcert=/nowhere/root.crt"),
    ("sslmode=require&ssl_min_protocol_version=TLSv9", "No such TLS version"),
    ("sslmode=often", "sslmode"),
]


@pytest.mark.parametrize(("asked", "told"), WRONG)
async def test_what_no_retry_mends_is_told_as_what_it_is_and_an_outage_to_who_runs(
    settings: Settings, asked: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where asyncpg looks for certificates
    url = f"{settings.database_url.partition('?')[0]}?{asked}"
    pool, line = await open_pool(url), Line(url)
    for attempt in (connect(url), line.get(), pool.fetchval("select 1")):
        with pytest.raises(Misconfigured, match="DATABASE_URL") as caught:
            await attempt
        assert told in str(caught.value)
        assert asked.partition("&")[0] in str(caught.value) or "sslrootcert" in asked
        assert isinstance(caught.value, AWAY)
        assert is_state(caught.value), "no batch is to blame"
    pool.terminate()


async def test_who_is_not_let_in_any_more_meets_an_outage(settings: Settings) -> None:
    """A password that was changed, say: whoever reads or writes meanwhile is told to come again."""
    url = urlsplit(settings.database_url)
    wrong = url._replace(netloc=f"{url.username}:wrong@{url.hostname}:{url.port}").geturl()
    pool, line = await open_pool(wrong), Line(wrong)
    for attempt in (pool.fetchval("select 1"), line.get()):
        with pytest.raises(ConnectionRefusedError):
            await attempt
    pool.terminate()


async def test_a_socket_that_is_not_there_yet_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(AWAY):
        await connect(f"postgresql://somebody@/threadmill?host={tmp_path}")


PROGRAMS = ["api", "worker", *(f"deploy.cli {one}" for one in ("migrate", "doctor", "queue status", "top --json"))]


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_process_ends_with_a_word_about_it(settings: Settings, program: str, tmp_path: Path) -> None:
    url = f"{settings.database_url.partition('?')[0]}?sslmode=verify-full"
    given = {"DATABASE_URL": url, "REDIS_URL": settings.redis_url, "THREADMILL_REDIS_PREFIX": settings.redis_prefix}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *program.split()),
        cwd=ROOT,
        env={
            **given,
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "THREADMILL_PORT": "0",
            "THREADMILL_ENV": "test",
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SOON):
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    last = err.decode()
    assert process.returncode == 2, last
    assert "DATABASE_URL: root certificate file" in last
    assert "sslmode=verify-full" in last
    assert "Traceback" not in last
