"""Threads in the console: found by what is said of them, shown with all that happened, held and released."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from api.console import seats, servers
from api.sse import CONNECTED
from shared import ids
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.console.browsing import Browsing
from tests.console.hostile import HOSTILE, harmless
from tests.console.screen import WIDE, Screen, connected, opened
from tests.console.staff import Staff, staff_of
from tests.rows import add_batch, add_owner, add_thread
from tests.watch import until


async def test_threads_are_looked_for_and_one_is_held_and_released(staff: Staff, operator: Browsing) -> None:
    pool = staff.service.pool
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner)
    await pool.execute("update threads set title = 'Refund <b>1</b>', client_external_ref = 'order 7'")
    batch = await add_batch(pool, owner, thread)
    for query, there in (
        ("", True),
        ("?title=REFUND", True),
        ("?title=nothing", False),
        ("?external_ref=order%207", True),
        ("?external_ref=order", False),
        ("?account=acme&held=yes", False),
        (f"?id={thread.id}", True),
        ("?id=nothing", False),
        ("?account=globex", False),
        ("?status=RUNNING&archived=no", False),
    ):
        seen = await operator.open(f"/console/threads{query}")
        assert (seen.status, f"/console/threads/{thread.id}" in seen.text) == (200, there), query
    assert (await operator.open("/console/threads?status=x")).status == 400
    assert (await operator.open("/console/threads?agent=x")).status == 200
    place = f"/console/threads/{thread.id}"
    seen = await operator.open(place)
    assert "user_message: hello" in seen.words
    assert f'href="/console/queue/batches/{batch}"' in seen.text
    assert "1 to 500" in (await operator.confirm(f"{place}/hold", {"reason": " "})).words
    seen = await operator.confirm(f"{place}/hold", {"reason": "looks <odd>"})
    assert "looks &lt;odd&gt;" in seen.text
    seen = await operator.confirm(f"{place}/release")
    assert ("Held." in seen.words, "No hand holds" in seen.words) == (False, True)
    again = await operator.confirm(f"{place}/release")
    assert "released meanwhile" in again.words
    assert (await operator.open("/console/threads/01KAAAAAAAAAAAAAAAAAAAAAAA")).status == 404


async def test_a_thread_in_which_nothing_happened_is_shown(staff: Staff, operator: Browsing) -> None:
    thread = await add_thread(staff.service.pool, await add_owner(staff.service.pool))
    seen = await operator.open(f"/console/threads/{thread.id}")
    assert (seen.status, "Nothing happened yet" in seen.words) == (200, True)


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    """An agent that asks for a permission; a worker that executes."""
    async with running_stage(settings, "worker.runners.demo:approve") as stage:
        yield stage


async def test_a_run_is_answered_interrupted_and_retried(stage: Stage) -> None:
    staff = await staff_of(stage.service)
    operator = await staff.browsing(staff.admin)
    thread, run = await stage.start("hello")
    await stage.until(thread, run, "waiting_input")
    place = f"/console/runs/{thread}/{run}"
    (request,) = (await stage.requests(thread)).values()
    assert f"requests/{request}/allow" in (await operator.open("/console/runs?list=waiting")).text
    question = await operator.open(f"{place}/requests/{request}/allow")
    seen = await operator.confirm(f"{place}/requests/{request}/allow", {"note": "go on"})
    assert "The request is allowed." in seen.words
    await stage.until(thread, run, "completed")
    late = await operator.submit(question, question.form())
    assert late.status == 409
    assert (await operator.open(f"{place}/requests/{request}/allow")).status == 404
    assert (await operator.submit(await operator.open(f"{place}/interrupt"), question.form())).status in {303, 409}
    seen = await operator.confirm(f"{place}/retry")
    assert "A new run retries" in seen.words
    again = await stage.service.pool.fetchval("select id from runs where thread = $1 and id <> $2", thread, run)
    await stage.until(thread, again, "waiting_input")
    seen = await operator.confirm(f"/console/runs/{thread}/{again}/interrupt")
    assert "The run is interrupted." in seen.words
    await stage.until(thread, again, "cancelled")
    assert (await operator.open(f"/console/runs?list=thread&thread={thread}")).text.count("badge") >= 2
    done = await stage.service.pool.fetch(
        "select action, result from audit where action ~ '^(run|permission)' order by id"
    )
    assert {row["action"] for row in done} == {"permission.allow", "run.retry", "run.interrupt"}


async def test_a_runs_output_is_told_live_to_who_is_logged_in(stage: Stage) -> None:
    staff = await staff_of(stage.service)
    operator = await staff.browsing(staff.admin)
    thread, run = await stage.start("</script><b>hello")
    await stage.until(thread, run, "waiting_input")
    place = f"/console/runs/{thread}/{run}"
    following = asyncio.create_task(operator.open(f"{place}/output?after={'0' * 26}"))
    (request,) = (await stage.requests(thread)).values()
    await stage.decide(thread, request)
    told = (await following).text
    assert ("&lt;/script&gt;&lt;b&gt;hello" in told, "<b>" in told) == (True, False)
    assert told.endswith("event: end\ndata: end\n\n")
    stranger = await staff.stranger().open(f"{place}/output")
    assert stranger.text == "event: end\ndata: end\n\n"
    assert (await operator.open("/console/runs/x/y/output")).text == stranger.text


async def test_a_run_page_says_that_the_beginning_of_its_output_is_left_out(staff: Staff, operator: Browsing) -> None:
    pool = staff.service.pool
    thread = await add_thread(pool, await add_owner(pool))
    run = ids.mint()
    await pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at)"
        " values ($1, $2, $3, 1, 'running', 'user_prompt', now(), now(), now())",
        *(thread.partition, thread.id, run),
    )

    async def log(of: str, type_: str, count: int) -> None:
        rows = [(thread.partition, thread.id, ids.mint(), of, type_, f"w{n} ", run) for n in range(count)]
        await pool.executemany(
            "insert into thread_events (partition, thread, id, run, type, content, message, occurred_at)"
            " values ($1, $2, $3, $4, $5, $6, $7, now())",
            rows,
        )

    await log(ids.mint(), "agent.message.delta", 700)  # of the run before it
    await log(run, "user.message", 1)
    await log(run, "agent.message.delta", 1_000)
    whole = await operator.open(f"/console/runs/{thread.id}/{run}")
    assert ("w0 w1 " in whole.words, "left out" in whole.words) == (True, False)
    await log(run, "agent.message.delta", 1)
    cut = await operator.open(f"/console/runs/{thread.id}/{run}")
    assert ("w0 w1 " in cut.words, "Its beginning is left out" in cut.words) == (False, True)


async def test_what_runs_say_is_told_in_places_that_no_token_takes_all_of(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "MOST", 2)
    staff = await staff_of(stage.service)
    thread, run = await stage.start()
    await stage.until(thread, run, "waiting_input")
    place = f"/console/runs/{thread}/{run}/output"
    streams: list[aiohttp.ClientResponse] = []
    for token in (staff.viewer, staff.viewer, staff.admin):
        browsing = await staff.browsing(token)
        cookie = {"Cookie": f"threadmill_console={browsing.cookies['threadmill_console']}"}
        streams.append(await browsing.session.get(f"{browsing.url}{place}", headers=cookie))
        assert await streams[-1].content.readuntil(b"\n\n") == CONNECTED
    async with asyncio.timeout(5):
        ousted = (await streams[0].content.read()).decode()
    assert ("Your token watches" in ousted, ousted.endswith("event: end\ndata: end\n\n")) == (True, True)
    refused = (await (await staff.browsing(staff.viewer)).open(place)).text  # it has no fewer than the other
    assert ("Too many watch" in refused, refused.endswith("event: end\ndata: end\n\n")) == (True, True)
    for stream in streams:
        stream.close()


async def test_deeds_on_runs_that_wait_for_a_worker_keep_no_other_deed_out(stage: Stage) -> None:
    staff = await staff_of(stage.service)
    operator = await staff.browsing(staff.admin)
    started = [await stage.start() for _ in range(servers.DEEDS + servers.CONNECTIONS)]
    for thread, run in started:
        await stage.until(thread, run, "waiting_input")
    assert (await operator.confirm("/console/queue/pause")).status == 200
    asked = [await operator.open(f"/console/runs/{thread}/{run}/interrupt") for thread, run in started]
    waiting = [asyncio.create_task(operator.submit(one, one.form())) for one in asked]
    sent = "select count(*) = $1 from batches where applied_at is null"
    assert await until(lambda: stage.service.pool.fetchval(sent, len(started)))
    assert "The queue is resumed" in (await operator.confirm("/console/queue/resume")).words
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [303] * len(started)
    done = "select count(*) from audit where action = 'run.interrupt' and result = 'done'"
    assert await stage.service.pool.fetchval(done) == len(started)
    told = await operator.submit(asked[0], asked[0].form())
    assert "is not done twice. The run is interrupted." in (await operator.open(told.location)).words


async def test_what_no_list_has_is_refused(operator: Browsing) -> None:
    for query in ("list=nothing", "status=completed", "status=x", "list=thread&thread=x", "list=stuck&after=x"):
        assert (await operator.open(f"/console/runs?{query}")).status in {400, 404}, query


@pytest.mark.browser
async def test_threads_and_runs_in_a_browser(stage: Stage, chromium: str, axe: Path) -> None:
    staff = await staff_of(stage.service)
    async with connected(chromium) as browser, opened(browser, stage.service.url, axe) as screen:
        await screen.log_in(staff.admin)
        thread, run = await stage.start(HOSTILE)
        await stage.until(thread, run, "waiting_input")
        await stage.service.pool.execute("update threads set client_external_ref = $1, user_id = $1", HOSTILE)
        await stage.service.pool.execute("update permission_requests set title = $1, tool_name = $1", HOSTILE)
        for name, path in (
            ("threads", "/console/threads?title=script"),
            ("thread", f"/console/threads/{thread}"),
            ("runs", "/console/runs"),
            ("runs-waiting", "/console/runs?list=waiting"),
            ("run", f"/console/runs/{thread}/{run}"),
        ):
            await screen.open(path)
            await screen.page.get_by_text("live", exact=True).first.wait_for()
            await screen.presentable(name)
            if name != "runs":
                await harmless(screen)
        await screen.page.get_by_role("link", name="Allow").click()
        await screen.page.get_by_label("Note").fill("go on")
        await screen.presentable("run-question")
        await screen.page.get_by_role("button", name="Allow").click()
        await screen.page.get_by_text("The request is allowed.").wait_for()
        await screen.page.locator(".badge", has_text="completed").first.wait_for()
        await screen.page.get_by_role("heading", name="Output").wait_for()
        await screen.presentable("run-completed")
        await screen.page.get_by_role("link", name="Retry").click()
        await screen.page.get_by_role("button", name="Retry").click()
        await screen.page.get_by_role("status").get_by_text(f"A new run retries {run}.").wait_for()
        await screen.page.get_by_role("link", name="Reject").click()
        await screen.page.get_by_label("Note").fill("not now")
        await screen.page.get_by_role("button", name="Reject").click()
        await screen.page.get_by_role("status").get_by_text("The request is rejected.").wait_for()
        assert await stage.service.pool.fetch("select state, note from permission_requests order by id") == [
            ("allowed", "go on"),
            ("rejected", "not now"),
        ]
        await screen.open(f"/console/threads/{thread}")
        await screen.page.get_by_role("link", name="Hold").click()
        await screen.page.get_by_label("Reason").fill("looks odd")
        await screen.page.get_by_role("button", name="Hold").click()
        await screen.page.get_by_text("looks odd").first.wait_for()
        await screen.presentable("thread-held")
        await screen.page.get_by_role("link", name="Release", exact=True).click()
        await screen.page.get_by_role("button", name="Release").click()
        await screen.page.get_by_text("No hand holds").wait_for()


@pytest.mark.slow
@pytest.mark.browser
async def test_why_a_run_is_in_a_list_is_seen_without_scrolling(screen: Screen, staff: Staff) -> None:
    pool = staff.service.pool
    owner = await add_owner(pool)
    run = ids.mint()
    await add_thread(pool, owner)
    await pool.execute("update threads set title = $1", "A title of many words that fills the column it stands in")
    await pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at,"
        "  completed_at, error)"
        " select partition, id, $1, 1, 'failed', 'user_prompt', now(), now(), now(), now(), $2 from threads",
        *(run, json.dumps({"code": "runner.failed", "message": "words " * 40, "retryable": True})),
    )
    await pool.execute(
        "insert into permission_requests (partition, thread, id, run, title, created_at)"
        " select partition, thread, id, id, 'May I?', now() - interval '2 hours' from runs"
    )
    for name, words in (("stuck", "waited for a decision"), ("failed", "runner.failed: words")):
        await screen.open(f"/console/runs?list={name}")
        box = await screen.page.get_by_role("cell", name=words).bounding_box()
        assert box is not None, name
        assert box["x"] + box["width"] <= WIDE["width"], (name, box)
        await screen.presentable(f"runs-{name}")


@pytest.mark.browser
async def test_what_a_run_says_comes_by_itself(stage: Stage, chromium: str, axe: Path) -> None:
    staff = await staff_of(stage.service)
    await stage.become("worker.runners.demo:echo")
    async with connected(chromium) as browser, opened(browser, stage.service.url, axe) as screen:
        await screen.log_in(staff.admin)
        thread, run = await stage.start("/slow 8 and on and on")
        await screen.open(f"/console/runs/{thread}/{run}")
        output = screen.page.locator("#output")
        await output.get_by_text("agent.message").wait_for()
        first = await output.inner_text()

        async def more() -> str | None:
            text = await output.inner_text()
            return text if len(text) > len(first) + 10 else None

        text = await until(more)
        assert text.startswith(first)
        assert text.count("agent.message") == 1
        assert await stage.text(run) >= text.split("agent.message\n")[1].rstrip()
        await screen.page.get_by_role("link", name="Interrupt").click()
        await screen.page.get_by_role("button", name="Interrupt").click()
        await screen.page.locator(".badge", has_text="cancelled").first.wait_for()
