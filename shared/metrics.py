"""What both sides count, by the names that operators see at `/metrics`.

Counters of one process; Prometheus adds them up. Refused: labels with ids (their number has no bound).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Tally(Collector):
    """A histogram that takes a drain's observations at once; the library's own takes one, at 2 µs each."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        REGISTRY.register(self)

    def observe(self, values: Sequence[float]) -> None:
        counts, bounds = self._counts, self._bounds
        for value in values:
            counts[bisect_left(bounds, value)] += 1
        self._sum += sum(values)

    def collect(self) -> Iterable[Metric]:
        upto = list(accumulate(self._counts))
        buckets = [(str(bound), float(n)) for bound, n in zip((*self._bounds, "+Inf"), upto, strict=True)]
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


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
LATENCY = Tally(
    "threadmill_accepted_to_applied_seconds",
    "From accepted to applied, by Postgres' clock",
    (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0),
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
LOST_LEASES = Counter("threadmill_lost_leases", "Leases that ran out, found by this worker")
FAILED_DRAINS = Counter("threadmill_failed_drains", "Drains that rolled back", ["reason"])
PARKED = Counter("threadmill_parked_batches", "Batches that became dead letters")
WEBHOOKS = Counter("threadmill_webhooks", "Tries to tell a webhook, by what came of them", ["result"])
REDIS_ERRORS = Counter("threadmill_redis_errors", "Calls to Redis that failed", ["call"])
POSTGRES_ERRORS = Counter("threadmill_postgres_errors", "Calls to Postgres that failed", ["call"])
REQUESTS = Counter("threadmill_requests", "Requests answered", ["status"])
BACKLOG = Gauge("threadmill_backlog_batches", "Batches that wait, as the waiting sets count them")
RUNNER_CHILDREN = Counter(
    "threadmill_runner_children", "Runs given to a child process, which was warm or cold", ["start"]
)
LOOP_STALLS = Counter("threadmill_loop_stalls", "Times that the event loop did not run for a second")
LOOP_STALLED = Counter("threadmill_loop_stalled_seconds", "Seconds for which it did not, in all")
OPEN_STREAMS = Gauge("threadmill_open_streams", "Streams of this api that are open")
DROPPED_STREAMS = Counter("threadmill_dropped_streams", "Streams cut off because their client did not read")
DROPPED_ANSWERS = Counter("threadmill_dropped_answers", "Large answers given up because their client did not take them")
