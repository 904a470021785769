"""What both sides count, by the names that operators see at `/metrics`.

Counters of one process; Prometheus adds them up. Refused: labels with ids (their number has no bound).
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from shared import __version__


class Tally(Collector):
    """A histogram that takes a drain's observations at once; the library's own takes one, at 2 µs each.

    With a `label`, one histogram for each of its values `of`.
    """

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[float], label: str = "", of: Sequence[str] = ("",)
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = bounds
        self._label = label
        self._counts = {value: [0] * (len(bounds) + 1) for value in of}
        self._sums = dict.fromkeys(of, 0.0)
        REGISTRY.register(self)

    def observe(self, values: Sequence[float], of: str = "") -> None:
        counts, bounds = self._counts[of], self._bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self._sums[of] += sum(values)

    def counts(self) -> tuple[int, ...]:
        """How many values were seen up to each bound, not counting those up to a lower one; the last: beyond all."""
        return tuple(map(sum, zip(*self._counts.values(), strict=True)))

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label] if self._label else None)
        for of, counts in self._counts.items():
            upto = zip((*self._bounds, "+Inf"), accumulate(counts), strict=True)
            buckets = [(str(bound), float(n)) for bound, n in upto]
            family.add_metric([of] if self._label else [], buckets, self._sums[of])
        yield family


def total(metric: Counter, **labels: str) -> int:
    """What a counter has come to, over all its labels but those that are given."""
    return int(
        sum(
            sample.value
            for family in metric.collect()
            for sample in family.samples
            if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
        )
    )


# Ten bounds a decade, each at most 28 % above the one before it: a quantile that is interpolated within its bucket is
# less than that off. From half a millisecond, which is a commit, to a quarter of an hour.
_STEPS = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)
_DECADES = (float(f"{step}e{exponent}") for exponent in range(-4, 3) for step in _STEPS)
LATENCY_BOUNDS = (*(bound for bound in _DECADES if bound >= 0.0005), 1_000.0)
# Of waits that should be milliseconds, and may become minutes.
WAIT_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

BUILD = Info("threadmill_build", "What runs here")
BUILD.info({"version": __version__})
CLOCK_SKEW = Gauge("threadmill_clock_skew_seconds", "By how much this process' clock is ahead of Postgres'")
WORKERS = Gauge("threadmill_workers", "Workers of the whole service that are alive")

YIELDED = Counter(
    "threadmill_yielded_batches_total",
    "Looks at which a batch waited at the door: its account had many requests under way, and others went first.",
)
ACCEPT_SECONDS = Tally(
    "threadmill_accept_seconds",
    "From a batch in an api's hands to its verdict, committed where it is accepted",
    WAIT_BOUNDS,
)
FLUSH_SECONDS = Histogram("threadmill_flush_seconds", "Of one group commit", buckets=WAIT_BOUNDS)
OUTCOME_SECONDS = Tally(
    "threadmill_outcome_wait_seconds",
    "For how long requests waited for the outcomes that they were answered with",
    WAIT_BOUNDS,
)
ACCEPTED = Counter("threadmill_accepted_batches", "Batches committed by this api")
FLUSH_SIZE = Histogram(
    "threadmill_flush_batches",
    "Batches written by one group commit",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
APPLIED = Counter("threadmill_applied_batches", "Batches applied by this worker", ["via"])
DRAIN_SIZE = Histogram(
    "threadmill_drain_batches",
    "Batches applied by one transaction",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
DRAIN_SECONDS = Histogram("threadmill_drain_seconds", "Of one drain that applied batches", buckets=WAIT_BOUNDS)
LATENCY = Tally(
    "threadmill_accepted_to_applied_seconds",
    "From accepted to applied, by Postgres' clock",
    LATENCY_BOUNDS,
)
APPEND_SIZE = Histogram(
    "threadmill_append_runs", "Runs whose outputs were written by one append", buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
READY_RUNS = Gauge(
    "threadmill_ready_runs", "Runs of the whole service that wait for a worker, as the last heartbeat counted them"
)
READY_AGE = Gauge("threadmill_ready_runs_oldest_seconds", "For how long the oldest of them has waited; 0: none does")
EXECUTING_RUNS = Gauge("threadmill_executing_runs", "Runs that this worker executes")
FINISHED_RUNS = Counter("threadmill_finished_runs", "Runs that this worker brought to an end", ["end"])
ENDS = ("completed", "failed", "cancelled", "expired")  # the statuses of a run that is over
ENDED_RUNS = Counter("threadmill_ended_runs", "Runs that came to an end, whoever ended them", ["status"])
RUN_WAIT = Tally("threadmill_run_wait_seconds", "From ready for a worker to started, by Postgres' clock", WAIT_BOUNDS)
RUN_DURATION = Tally(
    "threadmill_run_seconds",
    "From the start of a run to its end, by Postgres' clock; waiting for permissions included",
    (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0),
    label="status",
    of=ENDS,
)
RUN_FIRST_OUTPUT = Tally(
    "threadmill_run_first_output_seconds", "From a run given to its runner to the first that this yields", WAIT_BOUNDS
)
LOST_LEASES = Counter("threadmill_lost_leases", "Leases that ran out, found by this worker")
FAILED_DRAINS = Counter("threadmill_failed_drains", "Drains that rolled back", ["reason"])
PARKED = Counter("threadmill_parked_batches", "Batches that became dead letters")
WEBHOOKS = Counter("threadmill_webhooks", "Tries to tell a webhook, by what came of them", ["result"])
REDIS_ERRORS = Counter("threadmill_redis_errors", "Calls to Redis that failed", ["call"])
POSTGRES_ERRORS = Counter("threadmill_postgres_errors", "Calls to Postgres that failed", ["call"])
LIMITED = Counter("threadmill_limited_requests", "Requests refused by a limit", ["limit"])
REQUESTS = Counter("threadmill_requests", "Requests answered", ["status"])
OLDEST_AGE = Gauge(
    "threadmill_oldest_batch_seconds", "For how long the oldest batch of the whole service has waited; 0: none waits"
)
BACKLOG = Gauge("threadmill_backlog_batches", "Batches that wait, as the waiting sets count them")
RUNNER_CHILDREN = Counter(
    "threadmill_runner_children", "Runs given to a child process, which was warm or cold", ["start"]
)
LOOP_STALLS = Counter("threadmill_loop_stalls", "Times that the event loop did not run for a second")
LOOP_STALLED = Counter("threadmill_loop_stalled_seconds", "Seconds for which it did not, in all")


def _tasks() -> float:
    """Counted when it is asked for, by who asks within the loop: 2,000 of them take a millisecond."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # asked outside of a loop, where there are none
        return 0


TASKS = Gauge("threadmill_tasks", "Tasks of this process' event loop that are not over")
TASKS.set_function(_tasks)
OPEN_STREAMS = Gauge("threadmill_open_streams", "Streams of this api that are open")
STREAMED_EVENTS = Counter(
    "threadmill_streamed_events", "Events handed to open streams as they came, once for each stream"
)
STREAM_LAG = Tally(
    "threadmill_stream_lag_seconds", "From a drain's or an append's clock to its events handed to streams", WAIT_BOUNDS
)
DROPPED_STREAMS = Counter("threadmill_dropped_streams", "Streams cut off because their client did not read")
DROPPED_ANSWERS = Counter("threadmill_dropped_answers", "Large answers given up because their client did not take them")
FILES_WRITTEN = Counter(
    "threadmill_files_written", "Files that came to this process, by what became of them", ["result"]
)
FILE_BYTES = Counter("threadmill_file_bytes", "Bytes of files that were kept, and that were read", ["way"])
FILE_REMOVALS = Counter("threadmill_file_removals", "Tries to remove a file from the storage", ["result"])
FILE_REMOVALS_PENDING = Gauge(
    "threadmill_file_removals_pending", "Files that are still to be removed from the storage, counted up to 1,000"
)

# What a server is asked for is not known before its first answer, nor once it is away: a last value that stays
# would be scaled on. `max` passes over it, and no comparison with it holds.
UNKNOWN = float("nan")
OF_POSTGRES = (WORKERS, OLDEST_AGE, READY_RUNS, READY_AGE)


def forget(gauges: Iterable[Gauge]) -> None:
    """What these told is not known (any more)."""
    for gauge in gauges:
        gauge.set(UNKNOWN)


forget((*OF_POSTGRES, BACKLOG))

# Series that can be known are there from the start: a first increment that also makes the series is lost to `rate()`.
for _counter, _label, _values in (
    (APPLIED, "via", ("arq", "sweep")),
    (FAILED_DRAINS, "reason", ("batch", "state")),
    (FINISHED_RUNS, "end", (*ENDS, "waiting", "released", "lost", "refused")),
    (ENDED_RUNS, "status", ENDS),
    (WEBHOOKS, "result", ("delivered", "failed", "parked")),
    (RUNNER_CHILDREN, "start", ("warm", "cold")),
    (FILES_WRITTEN, "result", ("kept", "given_up")),
    (FILE_BYTES, "way", ("in", "out")),
    (FILE_REMOVALS, "result", ("removed", "failed")),
):
    for _value in _values:
        _counter.labels(**{_label: _value})
