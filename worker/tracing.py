"""The worker's spans: each drain, each batch that it applies, each attempt at a run, each call of a webhook.

    drain           (a transaction; linked to the batches it took)
    submit          (the api's)
    └── apply       (a batch in a drain; a failed try of it alone is one, too)
        └── run     (one worker's time with a run that the batch made: an attempt, or what follows a permission)
            └── POST webhook

Only what somebody records already is recorded here. Refused: texts, tokens, addresses.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from opentelemetry.trace import Span, SpanContext, SpanKind

from shared import traces
from shared.events import Event
from shared.ids import BatchId, RunId
from shared.traces import MOST_LINKS, Traces
from worker.batch import Batch
from worker.changes import Changes
from worker.plan import Outcome
from worker.rows import Row
from worker.runners import Context

T = TypeVar("T")

_MESSAGING = {"messaging.system": "threadmill", "messaging.destination.name": "inbox"}
UNTRACED = nullcontext()  # in place of a drain's spans
WELL = frozenset({"completed", "waiting", "released", "cancelled"})  # ends of a run that are no error


@dataclass(slots=True)
class Applying:
    """The spans of the batches of one drain."""

    spans: dict[BatchId, Span] = field(default_factory=dict)

    def runs(self, batches: Sequence[Batch], events: Mapping[BatchId, Sequence[Event]], changes: Changes) -> list[Row]:
        """Rows of the runs that these batches made, with the spans that theirs are children of."""
        rows: dict[RunId, Row] = {}
        for batch in batches:
            if (span := self.spans.get(batch.id)) is None:
                continue
            for run in (getattr(event, "run", None) for event in events[batch.id]):
                if run in changes.created and run not in rows:
                    rows[run] = (batch.partition, batch.thread, run, traces.traceparent(span))
        return list(rows.values())

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Those that were applied. A batch that was not has no span: nothing was done with it."""
        for outcome in outcomes:
            if (span := self.spans.get(outcome.batch)) is not None:
                span.end()


@dataclass(frozen=True, slots=True)
class Tracing:
    traces: Traces

    @contextmanager
    def drain(self, batches: Sequence[Batch], *, alone: bool) -> Iterator[Applying]:
        """Around one transaction. Nothing is made where nobody records any of its batches."""
        parents = {one.id: parent for one in batches if (parent := _parent(one)) is not None}
        if not parents:
            yield Applying()
            return
        attributes = {
            **_MESSAGING,
            "messaging.operation.name": "drain",
            "messaging.operation.type": "receive",
            "messaging.batch.message_count": len(batches),
            "threadmill.drain.alone": alone,
        }
        links = list(parents.values())[:MOST_LINKS]
        began = time.time_ns()
        with self.traces.span("drain", SpanKind.CLIENT, traces.below(None), links, attributes):
            applying = Applying()
            for batch in batches:
                if (parent := parents.get(batch.id)) is not None:
                    applying.spans[batch.id] = self.traces.tracer.start_span(
                        "apply", traces.below(parent), SpanKind.CONSUMER, _of_batch(batch), start_time=began
                    )
            try:
                yield applying
            except BaseException as error:
                for span in applying.spans.values() if alone else ():
                    traces.fail(span, type(error).__name__)
                    span.end()
                raise

    async def run(self, context: Context, kept: str | None, drive: Callable[[], Awaitable[str]]) -> str:
        """One worker's time with a run; returns how `drive` says that it ended."""
        parent = None if kept is None else traces.remote(kept)
        if parent is None:
            return await drive()
        attributes = {
            "threadmill.run.id": context.run,
            "threadmill.thread.id": context.thread,
            "threadmill.account.id": context.account,
            "threadmill.agent.id": context.agent,
            "threadmill.run.attempt": context.attempt,
        }
        with self.traces.span("run", SpanKind.CONSUMER, traces.below(parent), attributes=attributes) as span:
            end = await drive()
            span.set_attribute("threadmill.run.end", end)
            if end not in WELL:
                traces.fail(span, end)
            return end

    async def webhook(
        self, kept: str, attributes: dict[str, str | int], call: Callable[[str | None], Awaitable[T]]
    ) -> T:
        """One call of a webhook, which is told the span that it belongs to."""
        parent = traces.below(traces.remote(kept))
        with self.traces.span("POST webhook", SpanKind.CLIENT, parent, attributes=dict(attributes)) as span:
            return await call(traces.traceparent(span))


def _parent(batch: Batch) -> SpanContext | None:
    return None if batch.traceparent is None else traces.remote(batch.traceparent)


def _of_batch(batch: Batch) -> dict[str, str | int]:
    return {
        **_MESSAGING,
        "messaging.operation.name": "apply",
        "messaging.operation.type": "process",
        "messaging.destination.partition.id": str(batch.partition),
        "messaging.message.id": batch.ref,
        "threadmill.batch.id": batch.id,
        "threadmill.batch.attempts": batch.attempts,
        "threadmill.thread.id": batch.thread,
        "threadmill.account.id": batch.account,
    }
