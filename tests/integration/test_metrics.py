"""`/metrics` of an api and a worker that did something: every figure of the reference is there, in either format."""

import re
from pathlib import Path

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from shared.settings import Settings
from tests.agents import running_stage
from tests.figures import figure
from tests.service import message, running_service
from worker.health import serve

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"^\| `(threadmill_\w+)` \|", REFERENCE, re.MULTILINE))


async def test_api_and_worker_serve_every_figure_in_both_formats(settings: Settings) -> None:
    async with running_service(settings) as service, aiohttp.ClientSession() as session:
        health = await serve(settings, service.crews[0])
        for url in (service.url, f"http://127.0.0.1:{health.port}"):
            async with session.get(f"{url}/metrics") as response:
                assert response.headers["Content-Type"].startswith("text/plain; version=")
                text = await response.text()
            async with session.get(f"{url}/metrics", headers={"Accept": OPENMETRICS}) as response:
                assert response.headers["Content-Type"].startswith("application/openmetrics-text")
                found = {family.name: family for family in parse_openmetrics(await response.text())}  # type: ignore[no-untyped-call]  # the library has none
            served = {sample.name for family in parse_text(text) for sample in family.samples}
            named = set(found) | {f"{name}_total" for name in found} | {f"{name}_info" for name in found}
            assert named >= NAMED
            assert {name for name in NAMED if not any(one.startswith(name) for one in served)} <= NEVER_YET
        await health.close()


# Counters by a label that nobody can list beforehand: they appear with their first error, or request.
NEVER_YET = {
    *("threadmill_redis_errors_total", "threadmill_postgres_errors_total", "threadmill_requests_total"),
    "threadmill_limited_requests_total",
}


async def test_a_run_and_its_stream_leave_their_figures(settings: Settings) -> None:
    before = {name: figure(f"threadmill_{name}_count") for name in COUNTED}
    ended = figure("threadmill_ended_runs_total", status="completed")
    lasted = figure("threadmill_run_seconds_count", status="completed")
    streamed = figure("threadmill_streamed_events_total")
    async with running_stage(settings, "tests.odd_runners:tells_the_time") as stage:
        thread = await stage.client.new_thread()
        url = f"{stage.client.url}/api/v1/threads/{thread}/events/stream"
        headers = {"Authorization": f"Bearer {stage.client.token}"}
        async with stage.service.session.get(url, headers=headers) as response:
            await response.content.readuntil(b"connected")
            await stage.client.send(thread, message())
            await response.content.readuntil(b"run.completed")
    assert figure("threadmill_ended_runs_total", status="completed") == ended + 1
    assert figure("threadmill_run_seconds_count", status="completed") == lasted + 1
    assert figure("threadmill_streamed_events_total") > streamed
    assert {name for name in COUNTED if figure(f"threadmill_{name}_count") == before[name]} == set()
    assert figure("threadmill_stream_lag_seconds_sum") < 60


COUNTED = (
    *("accept_seconds", "flush_seconds", "outcome_wait_seconds", "drain_seconds", "accepted_to_applied_seconds"),
    *("run_wait_seconds", "run_first_output_seconds", "stream_lag_seconds"),
)
