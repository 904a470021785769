"""The first page: what it says of a service, what it says while a server is away, and how often it is read."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from api.console.charts import FAILURES, LATENCY, PACE, draw
from api.console.overview import EVERY, PLACES
from shared import ids
from shared.inspect import rates
from shared.inspect.problems import ADVICE
from shared.settings import Settings
from tests.console.browsing import Browsing, Seen
from tests.console.staff import Staff, staff_of
from tests.proxy import Wire, wire_to
from tests.rows import add_batch, add_owner, add_thread
from tests.service import running_service
from tests.watch import until

SAMPLE = (
    "insert into samples (at, accepted, applied, failed, parked, latency)"
    " select date_bin('10 seconds', now(), 'epoch') - n * interval '10 seconds', 100, 50, 1, 1, $1"
    " from generate_series(1, 12) n"
    " on conflict (at) do update set accepted = excluded.accepted, applied = excluded.applied,"
    "  failed = excluded.failed, parked = excluded.parked, latency = excluded.latency"  # the api writes some, too
)


def tile(seen: Seen, name: str) -> str:
    """What stands in the tile of this name."""
    return seen.text.split(f'<span class="name">{name}</span> <span class="value">')[1].split("<")[0]


async def test_the_first_page_says_what_waits_how_fast_it_goes_and_who_works(
    staff: Staff, operator: Browsing, redis: Redis
) -> None:
    pool = staff.service.pool
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner)
    await add_batch(pool, owner, thread, age=120)
    await add_batch(pool, owner, thread, parked=True)
    await pool.execute(SAMPLE, [0] * 4 + [600] + [0] * 30)
    await pool.execute(
        "insert into workers (id, host, pid, roles, version) values ($1, 'a', 1, 'all', '0')", ids.mint()
    )
    seen = await operator.open("/console")
    assert seen.status == 200
    assert (tile(seen, "waiting"), tile(seen, "dead letters")) == ("1", "1")
    assert tile(seen, "oldest").startswith("2 min")
    assert (tile(seen, "accepted"), tile(seen, "applied"), tile(seen, "failed")) == ("10.0/s", "5.0/s", "0.2/s")
    assert (tile(seen, "workers"), tile(seen, "apis")) == ("1", "1")
    assert tile(seen, "p99").endswith(" ms")
    assert seen.text.count("<svg viewBox") == seen.text.count("<desc id=") == 3
    assert seen.text.count('href="/console/runs?list=stuck"') == 1
    assert seen.text.count('href="/console/runs?list=failed"') == 2
    for place in PLACES.values():
        assert (await operator.open(place)).status == 200, place
    assert "Look at it" in seen.words  # the dead letter is a problem, and so is its held thread
    assert set(PLACES) <= set(ADVICE)
    assert "connections" in seen.words
    assert "noeviction" in seen.words
    never = (await redis.config_get("save"))["save"] == ""
    assert ("no snapshots" in seen.words, "last snapshot" in seen.words) == (never, not never)
    assert "completed 0 in the last hour" in seen.words  # no list has these: it leads nowhere
    assert 'class="figure tile " href="/console/threads"' not in seen.text


async def test_whoever_looks_within_a_second_sees_what_was_read_last(staff: Staff, operator: Browsing) -> None:
    begun = asyncio.get_running_loop().time()
    assert tile(await operator.open("/console"), "waiting") == "0"
    owner = await add_owner(staff.service.pool)
    await add_batch(staff.service.pool, owner, await add_thread(staff.service.pool, owner))
    several = await asyncio.gather(*(operator.open("/console") for _ in range(5)))
    if asyncio.get_running_loop().time() - begun < EVERY:  # on a machine that does nothing else, some 0.1 s
        assert {tile(seen, "waiting") for seen in several} == {"0"}

    async def read_again() -> bool:
        return tile(await operator.open("/console"), "waiting") == "1"

    await until(read_again, timeout=5.0)


@pytest.fixture
async def wire(settings: Settings) -> AsyncIterator[Wire]:
    async with wire_to(settings.database_url) as wire:
        yield wire


async def test_without_postgres_the_first_page_shows_what_redis_says_and_soon(settings: Settings, wire: Wire) -> None:
    async with running_service(settings.model_copy(update={"database_url": wire.url}), worker=False) as service:
        staff = await staff_of(service)
        operator = await staff.browsing(staff.admin)
        assert (await operator.open("/console")).status == 200
        wire.fall_silent(for_good=True)

        async def told() -> Seen | None:
            seen = await operator.open("/console")
            return seen if "Postgres away" in seen.words else None

        await until(told, timeout=8.0)
        begun = asyncio.get_running_loop().time()
        seen = await operator.open("/console")
        assert asyncio.get_running_loop().time() - begun < 5.0
        assert (seen.status, "noeviction" in seen.words) == (200, True)


async def test_without_redis_pages_show_what_postgres_says(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with running_service(nowhere, worker=False) as service:
        staff = await staff_of(service)
        operator = await staff.browsing(staff.admin)
        seen = await operator.open("/console")
        assert (seen.status, tile(seen, "waiting")) == (200, "0")
        assert "sweep applies them within 2 s" in seen.words
        assert "workers find what waits by themselves" in (await operator.open("/console/queue")).words
        account = (await add_owner(service.pool)).account
        assert "no limit" in (await operator.open(f"/console/queue/accounts/{account}")).words


async def test_a_chart_has_a_gap_where_nobody_wrote_and_a_table_of_the_highest(staff: Staff) -> None:
    await staff.service.pool.execute(SAMPLE, [0] * 4 + [600] + [0] * 30)
    series = await rates.series(staff.service.pool)
    pace, latency, failures = (draw(sort, series) for sort in (PACE, LATENCY, FAILURES))
    assert pace.lines[0].path.count("M") == 1
    assert pace.lines[0].path.startswith("M2")  # nothing before the last minutes
    assert (pace.top, failures.top) == ("10.0/s", "0.2/s")
    assert pace.summary == "The last hour: accepted 10.0/s to 10.0/s; applied 5.0/s to 5.0/s."
    assert len(pace.rows) == 12
    assert latency.rows[0][1] == ("\N{EN DASH}",) * 3
    assert pace.rows[-1][1] == ("10.0/s", "5.0/s")
