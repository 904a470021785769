"""What can be wrong with the service, one code each, with its usual cause and what to do next.

In the words that the console, the command line and docs/operations.md show.

Refused here: looking (`shared.inspect.facts`) and judging (`shared.inspect.symptoms`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"  # a promise is broken, or something does not move
    WARNING = "warning"  # something is worse than it should be, or waits for a person
    INFO = "info"  # somebody wanted it so; it is shown because it is easily forgotten


@dataclass(frozen=True, slots=True)
class Advice:
    severity: Severity
    cause: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Problem:
    code: str
    what: str  # one sentence, with its numbers
    since: float | None = None  # seconds, where it is known
    evidence: Sequence[str] = ()  # which ones: processes, partitions, accounts

    @property
    def severity(self) -> Severity:
        return ADVICE[self.code].severity

    @property
    def cause(self) -> str:
        return ADVICE[self.code].cause

    @property
    def next_step(self) -> str:
        return ADVICE[self.code].next_step


def _error(cause: str, next_step: str) -> Advice:
    return Advice(Severity.ERROR, cause, next_step)


def _warning(cause: str, next_step: str) -> Advice:
    return Advice(Severity.WARNING, cause, next_step)


def _info(cause: str, next_step: str) -> Advice:
    return Advice(Severity.INFO, cause, next_step)


ADVICE = {
    "postgres_away": _error(
        "Postgres is down, the way to it is, or it takes no more connections.",
        "Start it or mend the way. Nothing is lost: requests get 503 until then, and all goes on by itself.",
    ),
    "schema_older": _error(
        "The database lacks migrations that this version needs.",
        "`threadmill migrate`.",
    ),
    "schema_newer": _error(
        "The database was migrated by a newer version that does not go with this program, which would not start now.",
        "Upgrade this program, and every process that is older.",
    ),
    "postgres_read_only": _error(
        "`DATABASE_URL` leads to a replica, or the server is being restored.",
        "Lead it to the primary, or promote this one.",
    ),
    "postgres_unsafe": _error(
        "Without `fsync` and `full_page_writes` a crash of the database's machine may lose accepted batches.",
        "Turn them on in `postgresql.conf`, then `select pg_reload_conf()`.",
    ),
    "postgres_commits_early": _warning(
        "A session that asks for nothing commits before it is on the disk. Threadmill's ask for `on`; a pooler that"
        " does not pass that on would break the promise that accepted is durable.",
        "`alter database ... reset synchronous_commit`, or `alter role`; then restart the processes.",
    ),
    "postgres_connections": _warning(
        "Too many processes for `max_connections`, or another application leaks connections.",
        "Raise `max_connections`, run fewer processes, or put PgBouncer in between (docs/failover.md).",
    ),
    "postgres_blocked": _warning(
        "Somebody holds a lock that others need: a migration, a manual session, a backup with locks.",
        "`select pid, pg_blocking_pids(pid) from pg_stat_activity where wait_event_type = 'Lock'`; end what blocks.",
    ),
    "postgres_transaction": _warning(
        "A session has a transaction open and forgot it, or runs a very long statement. It keeps dead rows from being"
        " removed, and may hold locks.",
        "Look at the session that is named; `select pg_terminate_backend(pid)` where nobody needs it.",
    ),
    "postgres_replica_late": _warning(
        "The replica does not keep up: its disk, its network, or a long query on it.",
        "Look at that machine. A fail-over to it now would lose what it lacks, unless it is synchronous.",
    ),
    "postgres_replica_async": _warning(
        "A replica follows, and commits do not wait for it: a fail-over to it loses batches that were accepted.",
        "`synchronous_standby_names` in `postgresql.conf` (docs/failover.md), or never promote it.",
    ),
    "postgres_waits": _error(
        "No replica that `synchronous_standby_names` names follows: commits wait, and requests get 503.",
        "Start the replica. Or give its safety up: `alter system set synchronous_standby_names = ''`, then"
        " `select pg_reload_conf()`.",
    ),
    "postgres_pooler": _warning(
        "Sessions behind the pooler wait for locks, or sleep in a transaction, without end: a worker that stops holds"
        " others up.",
        "`connect_query` in `pgbouncer.ini`, as docs/failover.md has it.",
    ),
    "redis_away": _warning(
        "Redis is down, or the way to it is.",
        "Start it or mend the way. Until then workers find batches by themselves, within 2 s.",
    ),
    "redis_evicts": _warning(
        "When its memory is full, Redis drops keys: wake-ups and waiting sets among them.",
        "`redis-cli config set maxmemory-policy noeviction`, and the same in its configuration.",
    ),
    "redis_full": _warning(
        "Another application fills this Redis, or the backlog is very long. A full Redis takes no wake-ups.",
        "Raise `maxmemory`, or give Threadmill a Redis of its own.",
    ),
    "redis_read_only": _warning(
        "`REDIS_URL` leads to a replica, or the replica has lost its master: it takes no wake-ups.",
        "Lead it to the master, or finish the fail-over.",
    ),
    "redis_no_sentinel": _warning(
        "All sentinels are down, the way to them is, or they have forgotten the master: connections that are open go"
        " on, new ones fail.",
        "Start them or mend the way. Until then a process that loses its connection works as if Redis were away.",
    ),
    "redis_no_failover": _warning(
        "A sentinel is down, says something else than the others, or the master has no replica: the next fail-over may"
        " not happen.",
        "`redis-cli -p 26379 sentinel ckquorum <name>` on each; start what is down.",
    ),
    "redis_persistence": _warning(
        "The last snapshot or write of the append-only file failed: a full disk, mostly. By default Redis refuses"
        " writes then.",
        "Make room, or turn its persistence off: Threadmill needs none of it.",
    ),
    "no_api": _error(
        "No api runs, or none reaches Postgres.",
        "Start `python -m api`; where some run, look at their logs.",
    ),
    "no_worker": _error(
        "No worker runs, or none reaches Postgres: batches are accepted and wait.",
        "Start `python -m worker`; where some run, look at their logs.",
    ),
    "nobody_applies": _error(
        "All workers have the role `execute`, or were told to be quiet or to drain.",
        "Start `python -m worker --role apply`, or let one work again.",
    ),
    "nobody_executes": _error(
        "All workers have the role `apply`, or were told to be quiet or to drain.",
        "Start `python -m worker --role execute`, or let one work again.",
    ),
    "clock_skew": _warning(
        "The clock of that machine, or of Postgres', is not synchronised. Ages and leases are of Postgres' clock and"
        " stay right; logs do not fit together.",
        "Mend NTP there.",
    ),
    "versions_differ": _warning(
        "An upgrade is under way, or stopped half-way.",
        "Finish it: workers first, then apis.",
    ),
    "samples_missing": _warning(
        "Processes live, but what they count is not added up: their heartbeats fail.",
        "Look for `no heartbeat` in their logs at level debug, and at `threadmill_postgres_errors_total`.",
    ),
    "batches_late": _error(
        "The workers can't keep up, or can't reach Postgres or their locks.",
        "Is a worker, Postgres or Redis in this list, too? Mend that first. Else add workers; look at Postgres' CPU.",
    ),
    "partition_stuck": _error(
        "Others move, this one does not: a session holds its lock or its threads, or its oldest batch fails again and"
        " again.",
        "`threadmill queue list --partition <p>` shows the batch; end the session that is named, where there is one.",
    ),
    "backlog_near_limit": _warning(
        "More is accepted than applied. At the limit requests get 503.",
        "Add workers; find who sends so much with `threadmill queue accounts`; or raise `THREADMILL_BACKLOG_LIMIT`.",
    ),
    "partitions_paused": _info(
        "Somebody paused them: what is sent to their threads is accepted and waits.",
        "Resume them when the reason is gone.",
    ),
    "accounts_paused": _info(
        "Somebody paused them: what they send is accepted and waits.",
        "Resume them when the reason is gone.",
    ),
    "waiting_sets_differ": _warning(
        "Redis and Postgres disagree about what waits, and the workers do not put it right: their upkeep fails.",
        "Look for `upkeep` and `reconcile` in the workers' logs. Nothing is lost: the sweep goes by Postgres.",
    ),
    "dead_letters": _warning(
        "Batches failed five times alone: a defect, or a request that can't be applied.",
        "`threadmill dead list`; mend the cause and replay them, or discard them.",
    ),
    "threads_held": _warning(
        "Threads behind a dead letter, or held by hand, take no batches.",
        "Settle their dead letters, or release them: for the one held longest the command stands beside it.",
    ),
    "runs_late": _error(
        "No worker has room: all are busy, blocked, or gone.",
        "`threadmill queue status`: add workers, or raise `THREADMILL_CONCURRENCY` where their CPU is idle.",
    ),
    "leases_lost": _error(
        "Workers died with runs in hand, and no other worker takes these over.",
        "Is a worker alive? Look for `recover` errors in its log.",
    ),
    "runs_overdue": _error(
        "Runs are past their deadline and were not ended: no worker sweeps.",
        "Is a worker alive? `threadmill run interrupt <run>` ends one at once.",
    ),
    "requests_old": _warning(
        "Permission requests that nobody decides; those without an expiry wait for ever, and so do their threads.",
        "Decide them, or interrupt their runs; give agents an `expires_in`.",
    ),
    "webhooks_late": _warning(
        "The workers' calls are all under way, or no worker runs: a slow receiver, mostly.",
        "`threadmill webhook list` shows whose receiver fails.",
    ),
    "webhooks_dead": _warning(
        "A receiver failed for a day, refused with 410, or was taken away.",
        "Mend the receiver and `threadmill webhook replay --dead --agent <agent>`; they are removed after 30 days.",
    ),
    "removals_late": _warning(
        "The storage of files refuses or does not answer, no worker sweeps, or very many were deleted at once.",
        "Look for `of files` among the errors in the workers' logs; mend the storage. It is tried again by itself.",
    ),
}
