"""`threadmill queue`: what waits, for how long, and who works on it: batches, runs, permissions, webhooks."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy import context, tables, words
from deploy.commands import pause, work
from deploy.commands.limits import show_limited
from deploy.errors import CommandError
from deploy.session import AfterOption, LimitOption, OfAccountOption, account_id, document, open_session
from shared import inspect
from shared.db.connect import AWAY, open_pool
from shared.db.migrate import check
from shared.db.way import Misconfigured
from shared.inspect import batches, threads
from shared.inspect.batches import BatchView
from shared.inspect.counts import Count
from shared.inspect.page import Page
from shared.inspect.partitions import Holder
from shared.inspect.queue import Depth, QueueStatus, Rung, Stored, queue_status
from shared.inspect.webhooks import Summary
from shared.inspect.work import Runs
from shared.keys import Keys
from shared.queue import open_redis
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The queue: depth, ages, wake-ups, workers, and each waiting batch.")

_REDIS_TIMEOUT = 2.0  # seconds; a person waits for it


@dataclass(frozen=True, slots=True)
class Which:
    """Of all batches that are not applied, those that are asked for."""

    partition: int | None
    thread: str | None
    account: str | None
    blocked: bool


@app.command(epilog="Example:  threadmill queue status --json")
def status(
    everything: Annotated[bool, typer.Option("--all", help="Show empty partitions too.")] = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show what Postgres (the truth) and Redis (the doorbell) hold. Exit 1 where one of them is away.

    Everything is counted up to a bound, batches up to 1,000 in each partition; more show as "1,000+".
    """
    found = asyncio.run(_status(context.resolve(data)))
    if as_json:
        context.print_json(status_document(found))
    else:
        _show_status(found, everything)
    if found.errors:
        raise CommandError("; ".join(f"{server} is away: {why}" for server, why in found.errors.items()))


@app.command("list", epilog="Example:  threadmill queue list --partition 7 --limit 20")
def list_(
    *,
    partition: Annotated[
        int | None, typer.Option("--partition", "-p", min=0, max=32_767, help="Only this partition.")
    ] = None,
    thread: Annotated[str | None, typer.Option("--thread", help="Only this thread, blocked batches too.")] = None,
    account: OfAccountOption = None,
    blocked: Annotated[
        bool, typer.Option("--blocked", help="Those behind a hold, instead of those that wait.")
    ] = False,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List batches that are not applied, the oldest first.

    Those behind a hold come partition by partition, thread by thread. Where more than 200 accounts wait in a partition,
    those that wait come partition by partition, account by account. A page of a thread's batches may be short, or
    empty, and have a next one: so many of its account's are looked at.
    """
    which = Which(partition, thread, account, blocked)
    found = asyncio.run(_list(data, which, limit, after))
    if as_json:
        context.print_json({"batches": document(found.items), "after": found.after})
        return
    tables.show_batches(found.items)
    tables.show_more(found.after)


@app.command(epilog="Example:  threadmill queue show 4711")
def show(
    batch: Annotated[str, typer.Argument(help="The number of a batch, or its ref.")],
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show one batch: when it was accepted and applied, its events, its outcome, what comes next."""
    found = asyncio.run(_show(data, batch))
    if as_json:
        context.print_json(document(found))
    else:
        tables.show_batch(found)


async def _status(settings: Settings) -> QueueStatus:
    pool = await open_pool(settings.database_url, size=1)
    redis = open_redis(settings.redis_url, _REDIS_TIMEOUT)
    try:
        await _prepare(pool)
        return await queue_status(pool, redis, Keys(settings.redis_prefix), settings)
    finally:
        await redis.aclose()
        await pool.close()


async def _prepare(pool: Any) -> None:
    """Refuses a database of another version; one that is away is shown as such."""
    try:
        await check(pool)
        await inspect.bound(pool)
    except AWAY as error:
        if isinstance(error, Misconfigured):
            raise


async def _list(data: Path | None, which: Which, limit: int, after: str | None) -> Page[BatchView]:
    async with open_session(data) as connection:
        if which.thread is not None:
            thread = await threads.own_row(connection, which.thread)
            return await batches.batches_of_thread(connection, thread.partition, thread.id, limit, after)
        if which.blocked:
            return await batches.blocked_batches(connection, limit, which.partition, after)
        owner = await account_id(connection, which.account)
        return await batches.waiting_batches(connection, limit, which.partition, owner, after)


async def _show(data: Path | None, batch: str) -> BatchView:
    async with open_session(data) as connection:
        return await batches.find_batch(connection, batch)


def status_document(found: QueueStatus) -> dict[str, Any]:
    """The one JSON document of `queue status`. A half that is away is null, `errors` says why."""
    return {
        "postgres": found.stored and _stored_document(found.stored),
        "redis": found.rung and document(found.rung),
        "backlog": document(found.backlog),
        "limited": document(list(found.limited)),
        "errors": dict(found.errors),
    }


def _stored_document(stored: Stored) -> dict[str, Any]:
    return {
        "waiting": document(stored.waiting),
        "held": document(stored.held),
        "blocked": document(stored.blocked),
        "dead": document(stored.dead),
        "oldest_age": stored.oldest_age,
        "held_age": stored.held_age,
        "dead_age": stored.dead_age,
        "runs": document(stored.runs),
        "webhooks": document(stored.webhooks),
        "partitions": document([depth for depth in stored.depths if _busy(depth)]),
        "workers": document(stored.workers),
    }


def _show_status(found: QueueStatus, everything: bool) -> None:
    context.print_table(["queue", "", "note"], _summary(found))
    depths = found.stored.depths if found.stored else ()
    rung = found.rung or Rung({}, {}, (), ())
    rows = [_depth_row(d, rung) for d in depths if everything or _busy(d) or d.partition in rung.waiting]
    if rows:
        columns = ["partition", "waiting", "held", "blocked", "oldest", "in Redis", "rung", "in hand of", "state"]
        context.print_table(columns, rows)
    if found.stored and found.stored.workers:
        columns = ["worker", "host", "pid", "roles", "version", "applied", "executing", "heartbeat", "in Redis"]
        context.print_table(columns, _worker_rows(found.stored, rung))
    show_limited(list(found.limited))


def _summary(found: QueueStatus) -> Iterable[tuple[str, str, str]]:
    if found.stored is None:
        yield "Postgres", "away", found.errors.get("postgres", "")
    else:
        stored = found.stored
        yield "waiting", str(stored.waiting), f"oldest {words.age(stored.oldest_age) or '-'}"
        if stored.held.value:
            yield "held", str(stored.held), f"of paused accounts, oldest {words.age(stored.held_age)}"
        yield "blocked", str(stored.blocked), "behind a held thread" if stored.blocked.value else ""
        yield "dead letters", str(stored.dead), _dead_note(stored.dead, stored.dead_age, "dead list")
        yield from _runs_summary(stored.runs)
        yield from _webhooks_summary(stored.webhooks)
        yield (
            "workers",
            str(len(stored.workers)),
            _workers_note(stored),
        )
    if found.rung is None:
        yield "Redis", "away", "accepted all the same; the sweep applies within 2 s"
        return
    for role, wake_ups in found.rung.wake_ups.items():
        later = f", {wake_ups.deferred:,} deferred" if wake_ups.deferred else ""
        yield f"wake-ups, {role}", f"{wake_ups.queued:,}", f"and {wake_ups.in_progress:,} in progress{later}"
    yield "waiting in Redis", str(found.backlog.used), f"of {found.backlog.amount}: above that requests get 503"


def _runs_summary(runs: Runs) -> Iterable[tuple[str, str, str]]:
    yield "runs that wait", str(runs.ready), f"for a worker, oldest {words.age(runs.ready_age) or '-'}"
    lost = f"; {runs.lost} whose worker is lost" if runs.lost.value else ""
    yield "runs executing", str(runs.executing), f"oldest {words.age(runs.executing_age) or '-'}{lost}"
    yield "permissions", str(runs.asking), f"to be decided, oldest {words.age(runs.asking_age) or '-'}"


def _webhooks_summary(webhooks: Summary) -> Iterable[tuple[str, str, str]]:
    late = words.age(webhooks.late)
    yield "webhooks", str(webhooks.waiting), f"to be told, late by {late}" if late else "to be told, none late"
    yield "webhooks, dead", str(webhooks.dead), _dead_note(webhooks.dead, webhooks.dead_age, "webhook list")


def _workers_note(stored: Stored) -> str:
    """Who is missing."""
    alive = [one for one in stored.workers if one.lives]
    roles = {one.roles for one in alive if one.doing == "work"}
    if alive and not roles:
        return "nobody applies: all are quiet or leave (`threadmill worker list`)"
    if not roles:
        return "nobody applies: start `python -m worker`"
    if roles == {"apply"}:
        return "nobody executes runs: start `python -m worker --role execute`"
    return "nobody is rung for batches: start `python -m worker --role apply`" if roles == {"execute"} else ""


def _dead_note(dead: Count, oldest: float | None, command: str) -> str:
    return f"oldest {words.age(oldest)}: see `threadmill {command}`" if dead.value else ""


def _busy(depth: Depth) -> bool:
    return bool(depth.paused or depth.waiting.value or depth.held.value or depth.blocked.value or depth.holder)


def _depth_row(depth: Depth, rung: Rung) -> tuple[object, ...]:
    return (
        depth.partition,
        depth.waiting,
        depth.held,
        depth.blocked,
        words.age(depth.oldest_age),
        rung.waiting.get(depth.partition, 0),
        "yes" if depth.partition in rung.rung else "",
        _hand(depth.holder),
        "paused" if depth.paused else "",
    )


def _hand(holder: Holder | None) -> str:
    """Whose drain has a partition, and what it took, once it has said so."""
    if holder is None or holder.owner is None or holder.batches is None:  # a note is of who locked it, by name
        return holder.name if holder else ""
    count = f"{holder.batches:,} {'batch' if holder.batches == 1 else 'batches'}"
    return f"{holder.name}, {count} for {words.age(holder.age)}"


def _worker_rows(stored: Stored, rung: Rung) -> Iterable[tuple[object, ...]]:
    for one in stored.workers:
        alive = "yes" if one.id in rung.workers else "no"
        heartbeat = f"{words.age(one.silent)} ago"
        yield one.id, one.host, one.pid, one.roles, one.version, f"{one.applied:,}", one.executing, heartbeat, alive


app.command("pause", epilog="Example:  threadmill queue pause --partition 7 --partition 9")(pause.pause)
app.command("resume", epilog="Example:  threadmill queue resume --partition 7 --partition 9")(pause.resume)
app.command("accounts", epilog="Example:  threadmill queue accounts --paused --json")(work.accounts)
