"""The api's spans: a request that changes something, each batch that it hands in, and each flush.

    POST /api/v1/…  (server; a child of the client's `traceparent`)
    └── submit      (a batch, until it is committed: what its apply and its run go on from)
    accept          (a flush; linked to the batches it took)

Requests that only read have none. Refused here: paths as they were asked for, texts, tokens.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from opentelemetry.trace import Link, Span, SpanKind

from api.submission import Fresh, Submission, Verdict
from shared import logs, traces
from shared.traces import MOST_LINKS, Traces

TRACEPARENT = "traceparent"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Accept = Callable[[Submission], Awaitable[Verdict]]


@dataclass(frozen=True, slots=True)
class Tracing:
    traces: Traces

    def edge(self, answer: Handler) -> Handler:
        """The same handler, with a span around what may change something."""

        async def follow(request: web.BaseRequest) -> web.StreamResponse:
            if request.method in _READS:
                return await answer(request)
            given = request.headers.getall(TRACEPARENT, ())
            parent = traces.below(traces.remote(given[0].strip()) if len(given) == 1 else None)
            attributes = {"http.request.method": request.method, "url.scheme": request.scheme}
            with self.traces.span(request.method, SpanKind.SERVER, parent, attributes=attributes) as span:
                response = await answer(request)
                _describe(span, request, response.status)
                return response

        return follow

    def accept(self, accept: Accept) -> Accept:
        """The same way in, with a span a batch, whose context goes with the batch."""

        async def follow(submission: Submission) -> Verdict:
            with self.traces.span("submit", SpanKind.PRODUCER, attributes=_of_batch(submission)) as span:
                kept = submission._replace(traceparent=traces.traceparent(span))
                verdict = await accept(kept)
                span.set_attribute("threadmill.verdict", type(verdict).__name__.lower())
                if isinstance(verdict, Fresh):
                    span.set_attribute("threadmill.batch.id", verdict.batch)
                return verdict

        return follow

    def flushed(self, fresh: Sequence[tuple[Submission, Fresh]], began: int) -> None:
        """A flush that took these, since `began` (ns of the clock). None where nobody records any of them."""
        kept = [one.traceparent for one, _ in fresh if one.traceparent is not None]
        links = [Link(context) for text in kept[:MOST_LINKS] if (context := traces.remote(text)) is not None]
        if not links:
            return
        attributes: dict[str, str | int] = {
            **_MESSAGING,
            "messaging.operation.name": "accept",
            "messaging.operation.type": "send",
            "messaging.batch.message_count": len(fresh),
        }
        span = self.traces.tracer.start_span(
            "accept", traces.below(None), SpanKind.CLIENT, attributes, links, start_time=began
        )
        span.end(time.time_ns())


_MESSAGING = {"messaging.system": "threadmill", "messaging.destination.name": "inbox"}


def _of_batch(submission: Submission) -> dict[str, str]:
    return {
        **_MESSAGING,
        "messaging.operation.name": "submit",
        "messaging.operation.type": "create",
        "messaging.destination.partition.id": str(submission.partition),
        "messaging.message.id": submission.ref,
        "threadmill.thread.id": submission.thread,
        "threadmill.account.id": submission.account,
    }


def _describe(span: Span, request: web.BaseRequest, status: int) -> None:
    """What is known of a request when it is answered: its route, never its path, and the ids of its log lines."""
    match = request.match_info if isinstance(request, web.Request) else None
    resource = None if match is None or match.http_exception is not None else match.route.resource
    if resource is not None:
        span.update_name(f"{request.method} {resource.canonical}")
        span.set_attribute("http.route", resource.canonical)
    span.set_attribute("http.response.status_code", status)
    for name, value in logs.known_ids().items():
        span.set_attribute(f"threadmill.{name.removesuffix('_id')}.id", value)
    if status >= 500:
        traces.fail(span, str(status))
