"""What operators look for is found by an index each, paged by key, and merged in one order."""

from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from shared import ids
from shared.errors import InvalidRequest
from shared.ids import EventId, RequestId, ThreadId
from shared.inspect import running, search, timeline
from shared.inspect.page import Page
from shared.inspect.running import Stuck
from shared.inspect.search import Wanted
from shared.inspect.threads import own_row
from shared.inspect.timeline import Asked, Logged, Ran, Sent
from shared.keys import Keys
from shared.models import RunError, RunStatus, ThreadStatus
from shared.reports import Ask, Entry, RunFinished, RunLeased, RunOutput, RunStarted
from shared.settings import Settings
from tests.driver import Driver
from tests.pipeline import message
from tests.rows import add_owner, add_thread


async def walk(read: Any, limit: int = 2) -> list[Any]:
    """All items of a list, page by page."""
    found: list[Any] = []
    after: str | None = None
    for _ in range(1_000):
        page: Page[Any] = await read(limit, after)
        found += page.items
        after = page.after
        if after is None:
            return found
    raise AssertionError("it goes round")


async def titles(db: asyncpg.Pool, wanted: Wanted) -> list[str | None]:
    async def read(limit: int, after: str | None) -> Page[Any]:
        return (await search.find(db, wanted, limit, after)).page

    return [thread.title for thread in await walk(read)]


async def test_threads_are_found_by_what_is_said_of_them(pool: asyncpg.Pool) -> None:
    one, other = await add_owner(pool), await add_owner(pool, "globex")
    threads = [await add_thread(pool, owner) for owner in (one, one, other, one, one)]
    for n, thread in enumerate(threads):
        await pool.execute(
            "update threads set title = $2, client_external_ref = $3, held = $4, archived_at = $5, updated_at ="
            " created_at + make_interval(secs => $6) where id = $1",
            *(thread.id, f"Refund {n}" if n else "100% <b>sure</b>", "order 7" if n < 4 else None, n in {1, 2}),
            *(None if n != 3 else await pool.fetchval("select now()"), float(-n if n < 0 else 10 - n)),
        )
    newest = ["Refund 4", "Refund 3", "Refund 2", "Refund 1", "100% <b>sure</b>"]
    mine = ["100% <b>sure</b>", "Refund 1", "Refund 3", "Refund 4"]  # the latest changed first
    cases = {
        Wanted(): newest,
        Wanted(title="refund"): newest[:4],
        Wanted(title="0% <B>"): newest[4:],
        Wanted(title="%"): newest[4:],
        Wanted(title="nothing"): [],
        Wanted(archived=True): ["Refund 3"],
        Wanted(status=ThreadStatus.RUNNING): [],
        Wanted(held=True): ["Refund 2", "Refund 1"],
        Wanted(held=True, account=one.account): ["Refund 1"],
        Wanted(account=one.account): mine,
        Wanted(account=one.account, title="REFUND", archived=False): ["Refund 1", "Refund 4"],
        Wanted(external_ref="order 7", account=other.account): ["Refund 2"],
        Wanted(external_ref="order 8"): [],
    }
    for wanted, shown in cases.items():
        assert await titles(pool, wanted) == shown, wanted
    assert set(await titles(pool, Wanted(external_ref="order 7"))) == {mine[0], "Refund 1", "Refund 2", "Refund 3"}


async def test_what_matches_far_behind_is_found_by_going_on(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await add_owner(pool)
    threads = [await add_thread(pool, owner) for _ in range(9)]
    sought = [threads[0].id, threads[4].id]
    await pool.execute("update threads set title = 'Refund', held = true where id = any($1)", sought)
    monkeypatch.setattr(search, "LOOKED", 2)
    for wanted in (
        Wanted(title="refund"),
        Wanted(title="refund", account=owner.account),
        Wanted(held=True, account=owner.account),
        Wanted(archived=True),
    ):
        pages = 0

        async def read(limit: int, after: str | None, wanted: Wanted = wanted) -> Page[Any]:
            nonlocal pages
            pages += 1
            return (await search.find(pool, wanted, limit, after)).page

        found = {thread.id for thread in await walk(read, 1)}
        assert found == (set() if wanted.archived else set(sought)), wanted
        assert pages > len(found) or wanted.held, wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "x" * 201},
        {"external_ref": "a\x00b"},
        {"agent": ids.mint()},
        {"held": True, "title": "x"},
        {"external_ref": "x", "title": "y"},
    ],
)
def test_what_no_index_could_find_is_refused_by_its_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Wanted(**wrong)
    assert refused.value.param in {*wrong, "account"}


async def test_a_cursor_of_another_list_is_refused(pool: asyncpg.Pool) -> None:
    thread = await own_row(pool, (await add_thread(pool, await add_owner(pool))).id)
    for after in (
        "W10",
        "WyJ4Il0",
        "WzFd",
        "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsIngiXQ",
        "WzQwMDAwLCJ4Il0",
        "WzNd",
        "not one",
    ):
        for read in (
            search.find(pool, Wanted(), 1, after),
            running.waiting(pool, 1, after),
            running.stuck(pool, 1, after),
            timeline.page(pool, thread, 1, after),
        ):
            with pytest.raises(InvalidRequest, match="`after`"):
                await read


async def test_a_timeline_has_all_that_happened_in_one_order(driver: Driver, redis: Redis, settings: Settings) -> None:
    thread, run, (request,) = await driver.asking()
    await driver.report(thread, RunLeased(run), RunStarted(run))
    await driver.accept(thread, message("waits"))
    row = await own_row(driver.pool, thread)
    entries = await walk(lambda limit, after: timeline.page(driver.pool, row, limit, after), 3)
    steps = [entry.step for entry in entries][::-1]
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert [type(step) for step in steps if not isinstance(step, Logged)] == [Sent, Ran, Asked, Sent]
    first, last = steps[0], steps[-1]
    assert isinstance(first, Sent)
    assert isinstance(last, Sent)
    assert first.took is not None
    assert (first.took > 0, last.took) == (True, None)
    assert {step.id for step in steps if isinstance(step, Asked)} == {request}
    assert {"user.message", "run.started", "tool.confirmation.required"} <= {
        s.type for s in steps if isinstance(s, Logged)
    }
    once = (await timeline.page(driver.pool, row, 100, None)).items
    assert [key(entry.step) for entry in once] == [key(entry.step) for entry in entries]
    keys = Keys(settings.redis_prefix)
    assert await timeline.rung(redis, keys, once) == {last.batch.id: False}
    await redis.zadd(keys.waiting(row.partition), {str(last.batch.id): 1})
    assert await timeline.rung(redis, keys, once) == {last.batch.id: True}


def key(step: Any) -> Any:
    return step.batch.id if isinstance(step, Sent) else step.run.id if isinstance(step, Ran) else step.id


async def test_deltas_of_a_message_are_one_entry_however_many(driver: Driver) -> None:
    thread, run = await driver.executing(message())
    said_as = EventId(ids.mint())
    deltas = (Entry("agent.message.delta", f"{n} ", message=said_as) for n in range(50))
    await driver.report(thread, RunOutput(run, tuple(deltas)))
    row = await own_row(driver.pool, thread)
    steps = [entry.step for entry in (await timeline.page(driver.pool, row, 100, None)).items]
    (said,) = [step for step in steps if isinstance(step, Logged) and step.type == "agent.message.delta"]
    assert (said.pieces, said.text and said.text.split()) == (50, [str(n) for n in range(50)])


async def test_runs_are_listed_by_what_they_wait_for_and_how_they_ended(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, asked, (request,) = await driver.asking()
    executing, at_work = await driver.executing(message())
    broken, failed = await driver.executing(message())
    await driver.report(broken, RunFinished(failed, RunError("model.broken", "it <b>broke</b>", True)))
    idle = await driver.create(message())
    db = driver.pool
    everything = await walk(lambda limit, after: running.active(db, limit, after), 1)
    assert {one.thread for one in everything} == {asking, executing, idle}
    assert [one.run.id for one in (await running.active(db, 9, None, RunStatus.RUNNING)).items] == [at_work]
    assert [(o.run.id, o.request and o.request.id) for o in (await running.waiting(db, 9, None)).items] == [
        (asked, request)
    ]
    (ended,) = (await running.failed(db, 9, None)).items
    assert (ended.run.id, ended.run.error and ended.run.error.message) == (failed, "it <b>broke</b>")
    assert await walk(lambda limit, after: running.stuck(db, limit, after)) == []
    await make_stuck(db, asking, executing, idle)
    monkeypatch.setattr(running, "LEASES", 1)
    found = await walk(lambda limit, after: running.stuck(db, limit, after), 1)
    assert {(one.thread, one.stuck) for one in found} == {
        (executing, Stuck.LOST),
        (idle, Stuck.READY),
        (asking, Stuck.UNANSWERED),
    }


async def test_a_stuck_run_is_listed_once_with_the_oldest_of_what_it_asks_for_ever(driver: Driver) -> None:
    db, soon = driver.pool, await driver.pool.fetchval("select now() + interval '1 hour'")
    names = [RequestId(ids.mint()) for _ in range(4)]
    asks = (Ask(names[0], "ends", expires_at=soon), *(Ask(name, "May I?") for name in names[1:]))
    _, twice, _ = await driver.asking(*asks)
    _, once, (other,) = await driver.asking()
    await db.execute("update permission_requests set created_at = now() - interval '2 days' where id = $1", names[0])
    await db.execute("update permission_requests set created_at = now() - interval '1 day' where id <> $1", names[0])
    await db.execute("update permission_requests set state = 'allowed', decided_at = now() where id = $1", names[1])
    found = await walk(lambda limit, after: running.stuck(db, limit, after), 1)
    listed = [(one.run.id, one.request and one.request.id) for one in found]
    assert listed == [(twice, names[2]), (once, other)]


async def make_stuck(db: asyncpg.Pool, asking: ThreadId, executing: ThreadId, idle: ThreadId) -> None:
    run = await db.fetchrow("select partition, id from runs where thread = $1", executing)
    await db.execute("update threads set ready_at = now() - interval '1 hour' where id = $1", idle)
    await db.execute("update permission_requests set created_at = now() - interval '1 day' where thread = $1", asking)
    await db.execute(
        "insert into leases (partition, thread, run, owner, expires_at)"
        " values ($1, $2, $3, $3, now() - interval '1 hour')",
        *(run["partition"], executing, run["id"]),
    )
