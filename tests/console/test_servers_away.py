"""Postgres or Redis away: the console still loads, within seconds, and says so."""

import asyncio
import secrets
from collections.abc import Awaitable
from contextlib import AsyncExitStack

import pytest

from api.console import servers, sessions
from shared.db.connect import connect
from shared.settings import Settings
from tests.console.browsing import Browsing, Seen
from tests.console.staff import staff_of
from tests.proxy import wire_to
from tests.rows import add_batch, add_owner, add_thread
from tests.service import running_service
from tests.watch import until

WAIT = (
    "select count(*) = 2 from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock' and query like '%insert into audit%'"
)
COOKIE = "threadmill_console"
STRANGER_WAITS = (
    "select count(*) = 1 from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock' and query like '%console_sessions%'"
)
STOP = (
    "select pg_cancel_backend(pid) from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock' and query like '%audit%' limit 1"
)
BOUND = 3.5  # seconds: two of them for Postgres, and what a busy machine adds


async def in_time(answer: Awaitable[Seen]) -> Seen:
    async with asyncio.timeout(BOUND):
        return await answer


async def test_a_postgres_that_hangs_is_told_to_those_who_are_known_and_to_those_who_are_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wire_to(settings.database_url) as wire:
        through = settings.model_copy(update={"database_url": wire.url})
        async with running_service(through, worker=False) as service:
            staff = await staff_of(service)
            known = await staff.browsing(staff.admin)
            page = await known.open("/console/tokens")
            asked = await known.open("/console/tokens/new")
            wire.fall_silent(for_good=True)
            await asyncio.sleep(0)
            for trust in (sessions.TRUST, 0.0):  # a session that was just looked up, and one that can't be
                monkeypatch.setattr(sessions, "TRUST", trust)
                seen = await in_time(known.open("/console/tokens"))
                assert (seen.status, "Postgres is away" in seen.words, "Log out" in seen.words) == (503, True, True)
                assert "Redis answers." in seen.words
            monkeypatch.setattr(sessions, "UNSEEN_TRUST", 0.0)  # and one that was looked up too long ago
            seen = await in_time(known.open("/console"))
            assert (seen.status, "Postgres is away" in seen.words, "Log out" in seen.words) == (503, True, False)
            monkeypatch.setattr(sessions, "UNSEEN_TRUST", 60.0)
            seen = await in_time(known.submit(asked, asked.form(), {"kind": "viewer"}))
            assert (seen.status, "is not known" in seen.words) == (503, True)
            seen = await in_time(known.submit(page, page.form("/console/theme"), {"theme": "dark"}))
            assert seen.status == 303  # what is not in Postgres goes on
            stranger = staff.stranger()
            for path in ("/console/login", "/console/login?to=/console/queue"):
                seen = await in_time(stranger.open(path))
                assert (seen.status, "Postgres is away" in seen.words) == (503, True)
                assert "threadmill doctor" in seen.words
            seen = await in_time(stranger.submit(seen, seen.form("/console/login"), {"token": staff.admin}))
            assert (seen.status, "Postgres is away" in seen.words) == (503, True)
            stranger.cookies["threadmill_console"] = secrets.token_urlsafe(
                32
            )  # of another process, as far as this one knows
            seen = await in_time(stranger.open("/console"))
            assert (seen.status, "Postgres is away" in seen.words) == (503, True)


async def test_a_page_that_reads_too_long_is_told_as_that_and_takes_no_other_page_with_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_service(settings, worker=False) as service:
        operator = await (staff := await staff_of(service)).browsing(staff.admin)
        monkeypatch.setattr(servers, "PATIENCE", 0.3)
        async with service.pool.acquire() as db, db.transaction():
            await db.execute("lock table audit in access exclusive mode")
            seen = await in_time(operator.open("/console/audit"))
            assert (seen.status, "Postgres answers" in seen.words, "is away" in seen.words) == (503, True, False)
            assert "Nothing was done" not in seen.words  # it is told also where another press may do it
            seen = await in_time(operator.open("/console/tokens"))
            assert (seen.status, "is away" in seen.words) == (200, False)
        assert (await operator.open("/console/audit")).status == 200


async def test_what_postgres_stops_is_told_as_that_and_takes_the_console_from_nobody(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        operator = await (staff := await staff_of(service)).browsing(staff.admin)
        asked = await operator.open("/console/tokens/new")
        async with service.pool.acquire() as db, db.transaction():
            await db.execute("lock table audit in access exclusive mode")
            for waits, told in (
                (operator.submit(asked, asked.form(), {"kind": "viewer"}), "It was stopped, after 30 s at most"),
                (operator.open("/console/audit"), "Postgres answers"),
            ):
                answer = asyncio.create_task(waits)
                assert await until(lambda: service.pool.fetchval(STOP))
                seen = await in_time(answer)
                assert (seen.status, told in seen.words, "is away" in seen.words) == (503, True, False)
                assert (await operator.open("/console/tokens")).status == 200


async def test_a_postgres_that_goes_away_under_a_deed_on_a_run_is_told_as_that(settings: Settings) -> None:
    async with wire_to(settings.database_url) as wire:
        through = settings.model_copy(update={"database_url": wire.url})
        async with running_service(through) as service:
            thread = await (await service.client("acme")).new_thread("hello")
            run = await service.pool.fetchval("select last_run_id from threads where id = $1", thread)
            operator = await (staff := await staff_of(service)).browsing(staff.admin)
            asked = await operator.open(f"/console/runs/{thread}/{run}/interrupt")
            straight = await connect(settings.database_url)
            try:
                async with straight.transaction():
                    await straight.execute("lock table audit in share mode")  # whoever acts waits for it
                    answer = asyncio.create_task(operator.submit(asked, asked.form()))
                    assert await until(lambda: service.pool.fetchval(WAIT.replace("= 2", "= 1")))
                    wire.cut()
                    seen = await in_time(answer)
            finally:
                await straight.close()
            assert (seen.status, "is not known" in seen.words) == (503, True), seen.words
            again = await operator.submit(asked, asked.form())
            assert "is not done twice. It failed" in (await operator.open(again.location)).words


@pytest.mark.straight
async def test_a_deed_may_wait_as_long_in_one_statement_as_in_all(settings: Settings) -> None:
    console = await servers.open_servers(settings)
    try:
        async with console.connection() as reads, console.deed() as does:
            assert [await db.fetchval("show statement_timeout") for db in (reads, does)] == ["10s", "30s"]
    finally:
        await console.close()


async def test_a_redis_that_is_away_is_told_and_the_rest_works(settings: Settings, unused_tcp_port: int) -> None:
    through = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{unused_tcp_port}/0"})
    async with running_service(through, worker=False) as service:
        staff = await staff_of(service)
        operator = await staff.browsing(staff.admin)
        for path in ("/console", "/console/tokens", "/console/audit"):
            seen = await in_time(operator.open(path))
            assert (seen.status, "Redis is away" in seen.words) == (200, True)
        done = await operator.confirm("/console/tokens/new", {"kind": "viewer"})
        assert (done.status, "mst_" in done.text) == (200, True)


@pytest.mark.straight
async def test_deeds_that_take_long_leave_the_pages_a_connection_and_the_third_one_is_told_to_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_service(settings, worker=False) as service:
        staff = await staff_of(service)
        operator = await staff.browsing(staff.admin)
        asked = [await operator.open("/console/tokens/new") for _ in range(3)]
        monkeypatch.setattr("api.console.servers.DEED_PATIENCE", BOUND)
        async with service.pool.acquire() as db, db.transaction():
            await db.execute("lock table audit in share mode")  # whoever acts waits for it
            wish = {"kind": "viewer", "name": "made here"}
            first = [asyncio.create_task(operator.submit(one, one.form(), wish)) for one in asked[:2]]
            await until(lambda: service.pool.fetchval(WAIT))
            third = await in_time(operator.submit(asked[2], asked[2].form(), wish))
            assert (third.status, "try again in a moment" in third.words) == (503, True)
            assert (await in_time(operator.open("/console/tokens"))).status == 200
            for seen in await asyncio.gather(*first):
                assert (seen.status, "It was stopped" in seen.words) == (503, True)
            again = await in_time(operator.submit(asked[0], asked[0].form(), wish))  # the next press does not wait
            told = (await operator.open(again.location)).words
            assert ("is not done twice. It was stopped" in told, "still being done" in told) == (True, False)
        again = await operator.open("/console/tokens/new")
        assert (await operator.submit(again, again.form(), wish)).status == 200
        assert await service.pool.fetchval("select count(*) from tokens where name = 'made here'") == 1


async def test_a_second_press_takes_no_place_of_another_deed(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        staff = await staff_of(service)
        operator = await staff.browsing(staff.admin)
        asked, other = [await operator.open("/console/tokens/new") for _ in range(2)]
        wish = {"kind": "viewer", "name": "made here"}
        async with service.pool.acquire() as db, db.transaction():
            await db.execute("lock table audit in share mode")  # whoever acts waits for it
            first = asyncio.create_task(operator.submit(asked, asked.form(), wish))
            assert await until(lambda: service.pool.fetchval(WAIT.replace("= 2", "= 1")))
            again = [asyncio.create_task(operator.submit(asked, asked.form(), wish)) for _ in range(3)]
            await operator.open("/console/tokens")  # by now they wait, too
            second = asyncio.create_task(operator.submit(other, other.form(), wish))
            assert await until(lambda: service.pool.fetchval(WAIT))
            assert not any(one.done() for one in again)
        assert [(await one).status for one in (first, second)] == [200, 200]
        assert [(await one).status for one in again] == [303] * 3
        assert "is not done twice" in (await operator.open("/console/tokens")).words
        assert await service.pool.fetchval("select count(*) from tokens where name = 'made here'") == 2


async def test_strangers_take_the_console_from_nobody_and_no_cookie_is_looked_up_again_and_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_UNKNOWN_FOR", 60.0)
    monkeypatch.setattr(sessions, "TRUST", 60.0)
    monkeypatch.setattr(servers, "PATIENCE", 30.0)  # whoever takes all connections keeps them, also on a busy machine
    monkeypatch.setattr(servers, "STRANGERS_PATIENCE", 0.1)
    async with running_service(settings, worker=False) as service:
        staff = await staff_of(service)
        operator = await staff.browsing(staff.admin)
        strangers = [Browsing(service.session, service.url, {COOKIE: secrets.token_urlsafe(32)}) for _ in range(40)]
        async with service.pool.acquire() as db:
            async with db.transaction():
                await db.execute("lock table console_sessions in access exclusive mode")  # each look takes its time
                first = asyncio.create_task(strangers[0].open("/console/queue"))
                assert await until(lambda: service.pool.fetchval(STRANGER_WAITS))
                others = asyncio.gather(*(one.open("/console/queue") for one in strangers[1:]))
                async with asyncio.timeout(15):
                    seen = await operator.open("/console/tokens")
                assert (seen.status, "Postgres is away" in seen.words) == (200, False)
                for seen in await others:
                    assert (seen.status, "try again in a moment" in seen.words) == (503, True)
                    assert "Postgres is away" not in seen.words
                assert (await strangers[1].open("/console/login")).status == 200
            assert (await first).status == 303
            async with db.transaction():
                await db.execute("lock table console_sessions in access exclusive mode")
                assert (await strangers[0].open("/console/queue")).status == 303
                strangers[0].cookies[COOKIE] = "not-even-a-cookie-of-ours"
                assert (await strangers[0].open("/console/queue")).status == 303


async def test_a_pool_that_is_all_taken_is_no_postgres_that_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "PATIENCE", 30.0)
    console = await servers.open_servers(settings)
    try:
        async with AsyncExitStack() as stack:
            for _ in range(servers.CONNECTIONS):
                await stack.enter_async_context(console.connection())
            monkeypatch.setattr(servers, "PATIENCE", 0.2)
            with pytest.raises(servers.Busy):
                await stack.enter_async_context(console.connection())
            assert not console.postgres_away
        monkeypatch.setattr(servers, "PATIENCE", 30.0)
        await console.look()
    finally:
        await console.close()


async def test_redis_away_is_said_beside_the_timeline(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with running_service(away, worker=False) as service:
        owner = await add_owner(service.pool)
        thread = await add_thread(service.pool, owner)
        await add_batch(service.pool, owner, thread)
        staff = await staff_of(service)
        seen = await (await staff.browsing(staff.admin)).open(f"/console/threads/{thread.id}")
        assert (seen.status, "whether a batch was rung for is not known" in seen.words) == (200, True)
