"""What both sides count, by the names that operators see at `/metrics`.

Counters of one process; Prometheus adds them up. Refused: labels with ids (their number has no bound).
"""

from prometheus_client import Counter, Gauge, Histogram

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
LATENCY = Histogram(
    "threadmill_accepted_to_applied_seconds",
    "From accepted to applied, by Postgres' clock",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 30),
)
FAILED_DRAINS = Counter("threadmill_failed_drains", "Drains that rolled back", ["reason"])
PARKED = Counter("threadmill_parked_batches", "Batches that became dead letters")
REDIS_ERRORS = Counter("threadmill_redis_errors", "Calls to Redis that failed", ["call"])
POSTGRES_ERRORS = Counter("threadmill_postgres_errors", "Calls to Postgres that failed", ["call"])
REQUESTS = Counter("threadmill_requests", "Requests answered", ["status"])
BACKLOG = Gauge("threadmill_backlog_batches", "Batches that wait, as the waiting sets count them")
