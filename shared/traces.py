"""Traces: OpenTelemetry's SDK, set up where its standard environment variables say where spans go; else there is none.

Who makes spans is handed a tracer at its start, or None: without one no span and no other object is made, and the SDK
is not even imported. Spans are sent from a thread of the SDK's, out of a queue of limited length: a collector that is
away costs spans, never time. Refused here: settings of our own, texts and tokens as attributes.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from shared import __version__, ids, logs

if TYPE_CHECKING:  # the SDK is an extra
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger()

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
CLOSE = 3.0  # seconds that the last spans of a process have to leave it
SILENCE = 5.0  # seconds between two lines of the SDK's that are alike: a full queue would complain of each span
MOST_LINKS = 128  # of one span: the SDK would drop the rest itself
_SANE = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(slots=True)
class Traces:
    """The tracer of this process, and what ends it."""

    tracer: trace.Tracer
    _provider: "TracerProvider"

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
        links: Iterable[SpanContext] = (),
        attributes: dict[str, Any] | None = None,
    ) -> "Iterator[Span]":
        """A span around a block, the current one in it. What the block raises is its status, by its class alone."""
        linked = [Link(one) for one in links]
        span = self.tracer.start_span(name, parent, kind, attributes, linked)
        with _current(span):
            try:
                yield span
            except BaseException as error:
                fail(span, type(error).__name__)
                raise
            finally:
                span.end()

    def close(self, timeout: float = CLOSE) -> None:
        """Sends what is left, for at most `timeout` seconds. It blocks: call it behind the loop's end."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(timeout)
        if ending.is_alive():
            log.warning("the last spans did not reach their collector in time", seconds=timeout)


def start(service: str) -> Traces | None:
    """Sets the SDK up where the environment says where spans go: `service` is the name unless it gives one, too."""
    if not _wanted():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra, and 4 MB
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the same
    except ImportError as error:
        log.error("traces are configured, but the extra `tracing` is not installed: there are none", error=error)
        return None
    for name in ("opentelemetry.sdk._shared_internal", "opentelemetry.exporter"):
        _quiet(name)
    ours = {"service.name": service, "service.version": __version__, "service.instance.id": ids.mint()}
    resource = Resource.create(ours).merge(OTELResourceDetector().detect())  # the environment's word counts
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    logs.add_ids(current_ids)
    return Traces(provider.get_tracer("threadmill", __version__), provider)


def _wanted() -> bool:
    """Whether somebody said where spans go, and did not say that there are to be none."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    return not disabled and exporter != "none" and any(os.environ.get(name, "").strip() for name in ENDPOINTS)


def _quiet(name: str) -> None:
    said: dict[str, float] = {}

    def seldom(record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - said.get(record.msg, -SILENCE) < SILENCE or len(said) > 100:  # messages are few and constant
            return False
        said[record.msg] = now
        return True

    for logger in (logging.getLogger(one) for one in (name, *_below(name))):
        logger.addFilter(seldom)


def _below(name: str) -> list[str]:
    """Loggers that exist below one: filters are not inherited."""
    return [one for one in logging.Logger.manager.loggerDict if one.startswith(f"{name}.")]


def current_ids() -> dict[str, str]:
    """Of the span that is the current one, for a log line."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def traceparent(span: Span) -> str | None:
    """How a span is named to others (W3C); None for one that nobody records."""
    context = span.get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"  # its other flags are of a later version


def remote(text: str) -> SpanContext | None:
    """The span that a `traceparent` names; None where it is no sane one."""
    found = _SANE.fullmatch(text)
    if found is None:
        return None
    flags = TraceFlags(int(found[3], 16) & TraceFlags.SAMPLED)
    return SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags)


def below(parent: SpanContext | None) -> Context:
    """What a span is to be started in so that it is a child of this one; with None it begins a trace."""
    return Context() if parent is None else trace.set_span_in_context(NonRecordingSpan(parent), Context())


def fail(span: Span, kind: str) -> None:
    """The span's status is an error: `kind` is a class or a code, never a text."""
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))


def _current(span: Span) -> AbstractContextManager[Span]:
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)
