"""What a worker's loops can do to each other: leases that end in mid-run, commits without an answer, stops."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.db.connect import connect
from shared.settings import Settings
from tests import proxy
from tests.agents import Stage, running_stage
from tests.pipeline import running_crew
from tests.service import Service, running_service
from tests.watch import until
from worker.crew import Crew

SLOW = """
create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep({seconds}); return null; end $$;
create constraint trigger slow after insert on {table} deferrable initially deferred
for each row {when} execute function slow();
"""
LATE = 3.0  # seconds: well below what a lease lasts


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


class Cutting(proxy.Wire):
    """Loses the connection a moment after the commit was sent, when the server has it in hand."""

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            doomed = self._dooms(id(back), data)
            back.write(data)
            await back.drain()
            if doomed:
                self.lost += 1
                await asyncio.sleep(0.05)
                raise ConnectionResetError
        raise ConnectionResetError


async def test_a_commit_that_is_still_under_way_when_its_connection_is_lost_is_not_written_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "Wire", Cutting)
    async with (
        running_service(settings, worker=False) as service,
        proxy.wire_to(settings.database_url) as wire,
        running_crew(settings.model_copy(update={"database_url": wire.url}), "all"),
    ):
        stage = Stage(service, await service.client("acme"))
        await stage.become("says_slowly")
        await service.pool.execute(SLOW.format(seconds=1, table="thread_events", when="when (new.content = 'once')"))
        wire.lose_answer_to(b"once", b"commit")
        thread, run = await stage.start()
        ended = await stage.until(thread, run)
        assert wire.lost
        assert await stage.text(run) == "once, and no more"
        assert ended["finalOutput"] == {"text": "once, and no more"}


async def test_a_run_that_is_replaced_while_its_worker_does_not_know_stops_and_harms_no_other(stage: Stage) -> None:
    await stage.become("waits_for_a_word")
    thread, first = await stage.start("one")
    await stage.said(first, "one")
    await stage.lose_leases()
    second = await stage.say(thread, "two", on_busy="interrupt")
    await stage.said(second, "two")
    await stage.until(thread, first, "cancelled")
    executor = stage.service.crews[0].executor
    assert executor is not None

    async def alone() -> bool:
        return executor.executing == 1 and await stage.leases() == 1

    await until(alone)
    await stage.say(thread, "go", on_busy="steer")
    await stage.until(thread, second, "completed")
    assert await stage.text(first) == "one"


async def test_a_worker_drives_no_more_runs_than_its_concurrency(settings: Settings) -> None:
    few = settings.model_copy(update={"concurrency": 3})
    async with running_stage(few, "tests.odd_runners:counts_those_at_work") as stage:
        made = await asyncio.gather(*(stage.client.create("hello") for _ in range(40)))
        most = 0
        for reply in made:
            thread, run = reply.json["thread"]["id"], reply.json["run"]["id"]
            most = max(most, int((await stage.until(thread, run, "completed"))["finalOutput"]["text"]))
        assert 1 <= most <= 3


@pytest.mark.parametrize("lost", [(b"resume_after, r.usage",), (b"insert into leases", b"commit")])
async def test_a_connection_that_is_lost_costs_no_attempt_and_little_time(
    settings: Settings, lost: tuple[bytes, ...]
) -> None:
    """In the briefing of runs that are leased, and in the commit of the drain that leased them."""
    async with (
        running_service(settings, worker=False) as service,
        proxy.wire_to(settings.database_url) as wire,
        running_crew(settings.model_copy(update={"database_url": wire.url, "sweep": True}), "all"),
    ):
        stage = Stage(service, await service.client("acme"))
        await stage.become("steered")
        wire.lose_answer_to(*lost)
        runs = [await stage.start() for _ in range(3)]
        for _, run in runs:
            async with asyncio.timeout(LATE):
                await stage.said(run, "ready")
        assert wire.lost
        assert [await stage.attempt(run) for _, run in runs] == [1, 1, 1]


@pytest.mark.slow
async def test_a_worker_that_stops_while_a_drain_leases_hands_the_run_over(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        stage = Stage(service, await service.client("acme"))
        await stage.become("steered")
        await service.pool.execute(SLOW.format(seconds=0.5, table="leases", when=""))
        crew = Crew(settings, "all")
        await crew.start()
        made = asyncio.create_task(stage.client.create("hello", Prefer="respond-async"))
        await until(lambda: _commits(service))
        await crew.stop(timeout=9)
        assert await stage.leases() == 0
        await service.pool.execute("drop trigger slow on leases")
        reply = await made
        thread, run = reply.json["thread"]["id"], reply.json["run"]["id"]
        assert (await stage.run(thread, run))["status"] in ("booting", "queued")
        async with running_crew(settings, "all"):
            await until(lambda: _attempts(stage, run, 1), timeout=LATE)


async def _attempts(stage: Stage, run: str, number: int) -> bool:
    return await stage.attempt(run) == number


async def _commits(service: Service) -> bool:
    query = "select from pg_stat_activity where query = 'commit' and state = 'active' and datname = current_database()"
    return await service.pool.fetchrow(query) is not None


async def test_a_lease_that_somebody_has_locked_costs_no_other(settings: Settings) -> None:
    async with running_stage(settings, "tests.odd_runners:steered") as stage:
        runs = [(await stage.start())[1] for _ in range(3)]
        for run in runs:
            await stage.said(run, "ready")
        db = await connect(settings.database_url)
        async with db.transaction():
            await db.execute("select from leases where run = $1 for update", runs[0])
            before = await _expiries(stage)

            async def renewed() -> bool:
                now = await _expiries(stage)
                assert now[runs[0]] == before[runs[0]]
                return all(now[run] > before[run] for run in runs[1:])

            await until(renewed)
            await until(renewed)
        await db.close()


async def _expiries(stage: Stage) -> dict[str, float]:
    rows = await stage.service.pool.fetch("select run, extract(epoch from expires_at)::float8 as at from leases")
    return {row["run"]: row["at"] for row in rows}
