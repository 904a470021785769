"""What is kept of a trace with a batch and its run, and the spans that come of it; without a tracer, nothing."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler

from api.tracing import Tracing as ApiTracing
from shared import logs, traces
from shared.db.connect import Line
from shared.ids import BatchRef
from shared.settings import Settings
from shared.traces import Traces
from tests.driver import Driver
from tests.pipeline import message, new_caller, running_inbox
from tests.receiver import Receiver
from tests.telling import deliver, finished
from worker import poison
from worker.apply import Drainer
from worker.poison import MOST_TRIES
from worker.tracing import Tracing
from worker.webhooks import Webhooks


class Spans:
    """A tracer whose spans are seen at once."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = Traces(provider.get_tracer("tests"), provider)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def spans(request: pytest.FixtureRequest) -> Spans:
    """With the sampler of its parameter. Made here, and gone with the test: while a provider of the SDK's lives, each
    fork has a thread in the child, where no namespace can be entered then (`deploy.identity`)."""
    return Spans(getattr(request, "param", None))


@pytest.fixture
async def driver(settings: Settings, spans: Spans) -> AsyncIterator[Driver]:
    """As the other one, with a tracer at either end."""
    quiet = settings.model_copy(update={"ring": False})
    async with running_inbox(quiet, ApiTracing(spans.traces)) as inbox:
        caller = await new_caller(inbox)
        drainer, line = Drainer(settings, tracing=Tracing(spans.traces)), Line(settings.database_url)
        yield Driver(caller, drainer, inbox.pool, line)
        await drainer.close()
        await line.close()


@pytest.fixture
def hooks(settings: Settings, spans: Spans) -> Webhooks:
    return Webhooks(settings.model_copy(update={"private_endpoints": True}), tracing=Tracing(spans.traces))


def context_of(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


async def kept(driver: Driver) -> tuple[list[str | None], list[str | None]]:
    """Of batches, and of runs."""
    batches = await driver.pool.fetch("select traceparent from batches order by id")
    runs = await driver.pool.fetch("select traceparent from runs order by created_at")
    return [row[0] for row in batches], [row[0] for row in runs]


async def test_a_batch_keeps_the_span_it_came_in_and_its_run_the_one_it_was_applied_in(
    driver: Driver, spans: Spans
) -> None:
    await driver.create(message("one"), message("two"))
    (submit,), (apply,), (accept,), (drain,) = (spans.named(name) for name in ("submit", "apply", "accept", "drain"))
    assert apply.parent is not None
    assert (apply.parent.trace_id, apply.parent.span_id) == context_of(submit)
    for flush in (accept, drain):
        assert [(link.context.trace_id, link.context.span_id) for link in flush.links] == [context_of(submit)]
    of_batch, of_runs = await kept(driver)
    named = ["00-{:032x}-{:016x}-01".format(*context_of(span)) for span in (submit, apply)]
    assert of_batch == named[:1]
    assert of_runs == named[1:] * 2


async def test_each_failed_try_of_a_batch_is_a_span_of_its_trace(
    driver: Driver, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poison, "FIRST_PAUSE", 0.0)
    thread = await driver.create()
    bad: BatchRef = await driver.accept(thread, message("the words"))
    await driver.pool.execute("update batches set events = 'null' where ref = $1", bad)
    for _ in range(MOST_TRIES + 1):
        await driver.drain()
    tries = [span for span in spans.named("apply") if (span.attributes or {})["messaging.message.id"] == bad]
    assert [span.status.is_ok for span in tries] == [False] * MOST_TRIES
    assert [(span.attributes or {})["error.type"] for span in tries] == ["ValueError"] * MOST_TRIES
    assert len({span.context.trace_id for span in tries if span.context is not None}) == 1
    assert "the words" not in str([span.to_json() for span in spans.exporter.get_finished_spans()])


async def test_a_webhook_is_told_the_span_that_its_call_is(
    driver: Driver, spans: Spans, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    await finished(driver)
    assert await deliver(hooks) == 1
    (call,), apply = spans.named("POST webhook"), spans.named("apply")[0]
    assert receiver.calls[0].headers["traceparent"] == "00-{:032x}-{:016x}-01".format(*context_of(call))
    assert context_of(call)[0] == context_of(apply)[0]
    assert receiver.url not in call.to_json()
    await hooks.close()


@pytest.mark.parametrize("spans", [ParentBased(ALWAYS_OFF)], indirect=True)
async def test_what_nobody_records_is_not_kept(driver: Driver, spans: Spans) -> None:
    await driver.create(message())
    assert await kept(driver) == ([None], [None])
    assert not spans.exporter.get_finished_spans()


@pytest.mark.parametrize(
    "text",
    [
        *("", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "ff-" + "a" * 32 + "-" + "b" * 16 + "-01"),
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01\n",
        f"00-{'a' * 32}-{'b' * 16}-01-more",
    ],
)
def test_a_traceparent_that_is_none_is_nobodys_parent(text: str) -> None:
    assert traces.remote(text) is None


def test_without_the_environments_word_there_is_no_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in traces.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert traces.start("none") is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert traces.start("none") is None


def test_without_the_extra_a_process_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with structlog.testing.capture_logs() as said:
        assert traces.start("none") is None
    assert [(line["log_level"], "the extra `tracing` is not installed" in line["event"]) for line in said] == [
        ("error", True)
    ]


@pytest.fixture
def silent() -> Iterator[str]:
    """Where nobody answers."""
    server = socket.create_server(("127.0.0.1", 0))
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()


def test_spans_for_a_collector_that_is_away_cost_no_time(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_trace_ids", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", silent)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "512")
    found = traces.start("away")
    assert found is not None
    began = time.perf_counter()
    for _ in range(5_000):
        with found.span("one"):
            pass
    found.close(timeout=0.2)
    assert time.perf_counter() - began < 5


def test_where_nobody_asks_for_traces_the_sdk_is_not_loaded() -> None:
    program = (
        "import sys, api.__main__, worker.__main__, shared.traces as traces;"
        "assert traces.start('none') is None;"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
