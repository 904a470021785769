"""Facts in, problems out: what of the things that were looked at is wrong. No I/O, no clock.

Refused here: guessing at one cause where there may be several; `shared.inspect.problems` says what it usually is.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from shared import __version__
from shared.inspect.counts import counted
from shared.inspect.facts import COUNTED, LEASES, Facts, Held, Partition, Paused, Process, Rung, Stored, Waiting
from shared.inspect.files import Removals
from shared.inspect.problems import Problem
from shared.inspect.servers import PostgresHealth, RedisHealth
from shared.inspect.webhooks import Summary
from shared.redis_urls import Address
from shared.sentinel import Word
from shared.settings import Settings
from shared.vitals import LIVES

SKEW = 1.0  # seconds; NTP keeps machines within milliseconds
NEARLY = 0.85  # of connections, memory, the backlog's limit: what is left may be gone within minutes
LOCK_WAIT = 10.0  # seconds; ours give up after 5
TRANSACTION = 300.0  # seconds; ours take milliseconds, a dump of a large database some minutes
REPLICA_BYTES, REPLICA_SECONDS = 256 << 20, 30.0
WEBHOOK_LATE = 60.0  # seconds; tries are made within one
SAMPLE = 30.0  # seconds since the newest sample began; every process adds to one every five
OVERDUE = 10.0  # seconds; any worker settles such leases within half a second
LISTED = 5  # of those that are named

COMMITS = ("on", "remote_apply")
COPIES = ("pg_receivewal", "pg_basebackup", "barman")  # take the log and are never promoted


def problems_of(facts: Facts, settings: Settings) -> list[Problem]:
    """The worst first, as far as the order of the parts says."""
    if facts.stored is None:
        away = [Problem("postgres_away", f"Postgres is away: {facts.errors.get('postgres', 'no answer')}.")]
        return [*away, *_redis(facts, settings)]
    stored, postgres = facts.stored, facts.stored.health
    parts = [_schema(stored), _postgres(postgres)]
    if stored.schema < stored.known:
        return [*chain(*parts), *_redis(facts, settings)]
    parts += [_processes(stored), _queue(stored, settings), _sets(facts)]
    if stored.waiting is not None:
        parts += [_waiting(stored.waiting, settings), _held(stored.waiting, stored.held)]
    if stored.webhooks is not None:
        parts += [_webhooks(stored.webhooks)]
    if stored.removals is not None:
        parts += [_files(stored.removals)]
    return [*chain(*parts), *_redis(facts, settings), *_paused(stored)]


def _schema(stored: Stored) -> Iterator[Problem]:
    if stored.schema < stored.known or stored.needed > stored.known:
        code = "schema_older" if stored.schema < stored.known else "schema_newer"
        yield Problem(code, f"The database is at migration {stored.schema}, this program knows {stored.known}.")


def _postgres(health: PostgresHealth) -> Iterator[Problem]:
    if health.in_recovery:
        yield Problem("postgres_read_only", "This Postgres is a replica: nothing can be accepted or applied.")
    off = [name for name in ("fsync", "full_page_writes") if getattr(health, name) != "on"]
    if off:
        verb = "is" if len(off) == 1 else "are"
        yield Problem("postgres_unsafe", f"{' and '.join(off)} {verb} off in Postgres.", evidence=off)
    if health.synchronous_commit not in COMMITS:
        yield Problem(
            "postgres_commits_early", f"synchronous_commit is {health.synchronous_commit} for this role here."
        )
    if health.connections >= NEARLY * health.connections_limit:
        used = f"{health.connections} of {health.connections_limit} connections are in use."
        yield Problem("postgres_connections", used)
    yield from _sessions(health)
    yield from _standbys(health)
    for one in health.replicas:
        if (one.bytes or 0) > REPLICA_BYTES or (one.seconds or 0.0) > REPLICA_SECONDS:
            behind = f"The replica {one.name} is {(one.bytes or 0) >> 20} MiB behind."
            yield Problem("postgres_replica_late", behind, one.seconds)


def _standbys(health: PostgresHealth) -> Iterator[Problem]:
    """Where a role may not see in which way a replica follows, nothing is said."""
    if any(one.state is None for one in health.replicas):
        return
    following = [one for one in health.replicas if one.state == "streaming" and not one.name.startswith(COPIES)]
    if health.synchronous_standbys:
        if all(one.sync_state in ("async", "potential") for one in following):
            waiting = f"Commits wait for {health.synchronous_standbys}."
            yield Problem("postgres_waits", waiting, evidence=_few([one.name for one in following]))
    elif following and all(one.sync_state == "async" for one in following):
        told = _few([one.name for one in following])
        yield Problem("postgres_replica_async", "No replica is synchronous.", evidence=told)


def _sessions(health: PostgresHealth) -> Iterator[Problem]:
    if health.unbounded:
        yield Problem("postgres_pooler", "Sessions of the pooler have no bounds.")
    if (health.lock_wait or 0.0) > LOCK_WAIT:
        yield Problem("postgres_blocked", "Somebody waits for a lock of Postgres.", health.lock_wait)
    if (health.transaction_age or 0.0) > TRANSACTION:
        who = (health.transaction,) if health.transaction else ()
        yield Problem("postgres_transaction", "A transaction is open for long.", health.transaction_age, who)


def _processes(stored: Stored) -> Iterator[Problem]:
    workers = [one for one in stored.processes if one.kind == "worker"]
    if not any(one.kind == "api" for one in stored.processes):
        yield Problem("no_api", f"No api has told of itself for {LIVES:.0f} s.")
    if not workers:
        yield Problem("no_worker", f"No worker has told of itself for {LIVES:.0f} s.")
    else:
        yield from _roles(workers)
    off = [one for one in stored.processes if abs(one.skew or 0.0) > SKEW]
    if off:
        told = [f"{one.name}: {one.skew:+.1f} s" for one in off]
        yield Problem("clock_skew", f"{_several(off, 'process', 'es')} off Postgres' clock.", evidence=_few(told))
    if len(versions := {__version__, *(one.version for one in stored.processes)}) > 1:
        told = [f"{one.name}: {one.version}" for one in stored.processes if one.version != __version__]
        yield Problem("versions_differ", f"Versions {', '.join(sorted(versions))} are about.", evidence=_few(told))
    if stored.processes and (stored.sampled is None or stored.sampled > SAMPLE):
        yield Problem("samples_missing", "No process adds to the samples.", stored.sampled)


def _roles(workers: Sequence[Process]) -> Iterator[Problem]:
    working = {one.roles for one in workers if one.doing == "work"}
    idle = [f"{one.name}: {one.doing}" for one in workers if one.doing != "work"]
    if not working & {"apply", "all"}:
        yield Problem("nobody_applies", "Workers live, but none is rung for batches.", evidence=_few(idle))
    if not working & {"execute", "all"}:
        yield Problem("nobody_executes", "Workers live, but none takes runs.", evidence=_few(idle))


def _queue(stored: Stored, settings: Settings) -> Iterator[Problem]:
    """Where few partitions are late and others move, or their locks are held, they are stuck; else all is late."""
    moving = [one for one in stored.partitions if not one.paused]
    late = [one for one in moving if (one.age or 0.0) > settings.alarm_age]
    if not late:
        return
    held = {one.partition for one in stored.holders if (one.age or 0.0) > LOCK_WAIT / 2}
    stuck = late if len(late) * 4 <= len(moving) and _others_move(stored) else [one for one in late if one.id in held]
    if stuck:
        who = [f"partition {one.id}: batch {one.batch}" for one in stuck]
        told = (*_few(who), *_few(_holders(stored, stuck)))
        yield Problem("partition_stuck", f"{_several(stuck, 'partition')} stuck.", _oldest(stuck), told)
    if rest := [one for one in late if one not in stuck]:
        limit = f"longer than {settings.alarm_age:.0f} s"
        yield Problem("batches_late", f"Batches of {len(rest)} partitions have waited {limit}.", _oldest(rest))


def _others_move(stored: Stored) -> bool:
    """Somebody applies: what is late in a few partitions is no lack of workers."""
    return any(one.roles in ("apply", "all") and one.doing == "work" for one in stored.processes)


def _holders(stored: Stored, stuck: Sequence[Partition]) -> list[str]:
    numbers = {one.id for one in stuck}
    return [
        f"lock of partition {one.partition}: pid {one.pid}, {one.name or 'unnamed'}, {one.state}, {one.age or 0:.0f} s"
        for one in stored.holders
        if one.partition in numbers
    ]


def _oldest(partitions: Sequence[Partition]) -> float:
    return max(one.age or 0.0 for one in partitions)


def _sets(facts: Facts) -> Iterator[Problem]:
    if facts.differing:
        told = _few([f"partition {one}" for one in facts.differing])
        yield Problem("waiting_sets_differ", "Redis and Postgres disagree about what waits.", evidence=told)


def _waiting(waiting: Waiting, settings: Settings) -> Iterator[Problem]:
    if waiting.dead:
        dead = counted(waiting.dead, COUNTED)
        yield Problem("dead_letters", f"Dead letters: {dead}.", waiting.dead_age)
    if (waiting.ready_age or 0.0) > settings.alarm_age:
        runs = counted(waiting.ready, COUNTED)
        yield Problem("runs_late", f"Runs wait for a worker: {runs}.", waiting.ready_age)
    if waiting.lost and (waiting.lost_age or 0.0) > OVERDUE:
        yield Problem("leases_lost", f"Leases ran out: {counted(waiting.lost, LEASES)}.", waiting.lost_age)
    if waiting.overdue and (waiting.overdue_age or 0.0) > OVERDUE:
        runs = counted(waiting.overdue, LEASES)
        yield Problem("runs_overdue", f"Runs past their deadline: {runs}.", waiting.overdue_age)
    if waiting.requests:
        limit = f"for more than {settings.alarm_request_hours:g} hours"
        old = counted(waiting.requests, COUNTED)
        yield Problem("requests_old", f"Permission requests open {limit}: {old}.", waiting.request_age)


def _held(waiting: Waiting, longest: Held | None) -> Iterator[Problem]:
    """With the one that has been held longest, and what lets it go."""
    if waiting.held:
        what = f"Threads that are held: {counted(waiting.held, COUNTED)}."
        told = () if longest is None else (_release(longest),)
        yield Problem("threads_held", what, None if longest is None else longest.age, told)


def _release(held: Held) -> str:
    if held.letter is None:
        return f"thread {held.thread}, by {held.who}: threadmill thread release {held.thread}"
    return f"thread {held.thread}, by batch {held.letter}: threadmill dead replay {held.letter}, or discard, or skip"


def _webhooks(summary: Summary) -> Iterator[Problem]:
    if (summary.late or 0.0) > WEBHOOK_LATE:
        yield Problem("webhooks_late", f"Webhooks are told late; waiting: {summary.waiting}.", summary.late)
    if summary.dead.value:
        yield Problem("webhooks_dead", f"Webhooks that were given up: {summary.dead}.", summary.dead_age)


def _files(removals: Removals) -> Iterator[Problem]:
    if removals.late:
        yield Problem("removals_late", f"Deleted files still in the storage: {removals.waiting}.", removals.age)


def _redis(facts: Facts, settings: Settings) -> Iterator[Problem]:
    if facts.rung is None:
        yield Problem("redis_away", f"Redis is away: {facts.errors.get('redis', 'no answer')}.")
        return
    yield from _redis_health(facts.rung.health)
    yield from _backlog(facts.rung, settings)


def _redis_health(health: RedisHealth) -> Iterator[Problem]:
    if health.policy != "noeviction":
        dropped = f"keys dropped since its start: {health.evicted:,}"
        yield Problem("redis_evicts", f"Redis' maxmemory-policy is {health.policy}.", evidence=(dropped,))
    if health.memory_limit and health.memory >= NEARLY * health.memory_limit:
        used = f"{health.memory >> 20} of {health.memory_limit >> 20} MiB"
        yield Problem("redis_full", f"Redis' memory is nearly full: {used}.")
    if health.role != "master" or health.master_down:
        yield Problem("redis_read_only", f"This Redis is a {'replica' if health.role != 'master' else health.role}.")
    yield from _sentinels(health)
    failed = [
        name
        for name, bad in (("the last snapshot", health.snapshot_failed), ("the append-only file", health.aof_failed))
        if bad
    ]
    if failed:
        yield Problem("redis_persistence", f"Redis could not write {' and '.join(failed)}.", evidence=failed)


def _sentinels(health: RedisHealth) -> Iterator[Problem]:
    """Whether they could fail over: all answer, all name the same master, reach it, and it has a replica."""
    masters = Counter(word.master for word in health.sentinels if word.master is not None)
    if not masters:
        if health.sentinels:  # the connection at hand goes on without them, a new one would not
            said = _few([f"sentinel {word.sentinel}: {word.error}" for word in health.sentinels])
            yield Problem("redis_no_sentinel", "No sentinel names a Redis master.", evidence=said)
        return
    master, _ = masters.most_common(1)[0]
    told = [f"sentinel {word.sentinel}: {wrong}" for word in health.sentinels if (wrong := _wrong(word, master))]
    told += [] if health.replicas else ["the master has no replica"]
    if told:
        name = f"{master[0]}:{master[1]}" if master else "unknown"
        yield Problem("redis_no_failover", f"A fail-over of the Redis master {name} may fail.", evidence=_few(told))


def _wrong(word: Word, master: Address | None) -> str:
    if word.error:
        return word.error
    if word.master != master and word.master is not None:
        return f"names {word.master[0]}:{word.master[1]}"
    return "does not reach the master" if word.down else ""


def _backlog(rung: Rung, settings: Settings) -> Iterator[Problem]:
    if rung.waiting >= NEARLY * settings.backlog_limit:
        yield Problem("backlog_near_limit", f"{rung.waiting:,} batches wait, {settings.backlog_limit:,} may.")


def _paused(stored: Stored) -> Iterator[Problem]:
    if stored.paused_by:
        what = f"{_several(stored.paused_by, 'partition')} paused."
        yield Problem("partitions_paused", what, _longest(stored.paused_by), _by("partition", stored.paused_by))
    if stored.accounts:
        what = f"{_several(stored.accounts, 'account')} paused."
        yield Problem("accounts_paused", what, _longest(stored.accounts), _by("account", stored.accounts))


def _by(noun: str, paused: Sequence[Paused]) -> Sequence[str]:
    return _few([f"{noun} {one.name}: by {one.by or 'nobody that the audit log knows'}" for one in paused])


def _longest(paused: Sequence[Paused]) -> float | None:
    return max((one.age for one in paused if one.age is not None), default=None)


def _several(things: Sequence[object], noun: str, plural: str = "s") -> str:
    return f"1 {noun} is" if len(things) == 1 else f"{len(things)} {noun}{plural} are"


def _few(names: Sequence[str]) -> Sequence[str]:
    more = len(names) - LISTED
    return (*names[:LISTED], f"and {more} more") if more > 0 else tuple(names)
