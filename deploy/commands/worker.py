"""`threadmill worker`: the processes that apply and execute, listed with the apis; asked to take nothing new, to leave,
or to work again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from deploy import context, tables
from deploy.session import AfterOption, LimitOption, YesOption, confirm, document, open_session
from shared import audit, ids, words
from shared.errors import NotFound
from shared.ids import Ulid
from shared.inspect import fleet
from shared.inspect.actions import workers
from shared.inspect.fleet import ApiView, WorkerView
from shared.inspect.page import Page
from shared.keys import Keys
from shared.queue import Queue, open_redis

app = typer.Typer(no_args_is_help=True, help="Workers: what each does; take one out of work, or let it leave.")

WorkerArgument = Annotated[str, typer.Argument(help="The id of the worker, as `worker list` shows it.")]
_REDIS_TIMEOUT = 1.0  # seconds; without Redis the worker looks by itself within two

Ask = Callable[..., Awaitable[int]]


@app.command("list", epilog="Example:  threadmill worker list --json")
def list_(
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List workers and apis, the latest started first; one that is silent for an hour is forgotten.

    Of apis the first --limit are listed, on each page of workers.
    """
    found, apis = asyncio.run(_list(data, limit, after))
    if as_json:
        context.print_json({"workers": document(found.items), "apis": document(apis), "after": found.after})
        return
    columns = ["worker", "host", "pid", "roles", "version", "does", "applied", "executing", "memory", "heartbeat"]
    context.print_table(columns, [_row(one) for one in found.items])
    columns = ["api", "host", "pid", "port", "version", "does", "streams", "memory", "heartbeat"]
    context.print_table(columns, [_api_row(one) for one in apis])
    tables.show_more(found.after)


@app.command(epilog="Example:  threadmill worker quiet 01K5XAMPLE0000000000000000")
def quiet(worker: WorkerArgument, data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """Have it take nothing new: no batches, no runs, no webhooks. What it has in hand goes on."""
    if missed := asyncio.run(_missed(data, worker)):
        typer.echo(f"threadmill: {missed}", err=True)
    _tell(asyncio.run(_ask(data, worker, workers.quiet)), "asked to be quiet", worker, as_json)


@app.command(epilog="Example:  threadmill worker drain 01K5XAMPLE0000000000000000 --yes")
def drain(
    worker: WorkerArgument,
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Have it hand over what it has and end, as for SIGTERM. Whoever supervises it may start another one."""
    missed = asyncio.run(_missed(data, worker))
    if missed and yes:
        typer.echo(f"threadmill: {missed}", err=True)
    confirm(f"Let the worker {worker} leave? Its process ends; it can't be called back. {missed or ''}".rstrip(), yes)
    _tell(asyncio.run(_ask(data, worker, workers.drain)), "asked to leave", worker, as_json)


@app.command(epilog="Example:  threadmill worker work 01K5XAMPLE0000000000000000")
def work(worker: WorkerArgument, data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """Let a quiet one work again."""
    _tell(asyncio.run(_ask(data, worker, workers.work)), "asked to work", worker, as_json)


async def _list(data: Path | None, limit: int, after: str | None) -> tuple[Page[WorkerView], list[ApiView]]:
    async with open_session(data) as connection:
        return await fleet.workers(connection, limit, after), (await fleet.apis(connection, limit)).items


def _id(worker: str) -> Ulid:
    found = ids.parse(worker)
    if found is None:
        raise NotFound(f"{worker!r} is no id of a worker: see `threadmill worker list`.")
    return found


async def _missed(data: Path | None, worker: str) -> str | None:
    """What nobody does once it takes nothing new."""
    found = _id(worker)
    async with open_session(data) as connection:
        return await fleet.missed(connection, await fleet.find_worker(connection, found))


async def _ask(data: Path | None, worker: str, ask: Ask) -> int:
    found = _id(worker)
    settings = context.resolve(data)
    redis = open_redis(settings.redis_url, _REDIS_TIMEOUT)
    try:
        async with open_session(data) as connection:
            return await ask(connection, audit.command_line(), found, Queue(redis, Keys(settings.redis_prefix)))
    finally:
        await redis.aclose()


def _tell(reached: int, done: str, worker: str, as_json: bool) -> None:
    if as_json:
        context.print_json({"done": done, "reached": reached})
    else:
        typer.echo(f"The worker {worker} is {done}{'.' if reached else ' already.'}")


def _row(one: WorkerView) -> tuple[object, ...]:
    wanted = one.asked or "work"
    does = one.doing if one.doing == wanted or not one.lives else f"{one.doing}, asked to {wanted}"
    state = does if one.lives else "silent"
    work = (f"{one.applied:,}", one.executing, _memory(one.memory), f"{words.age(one.silent)} ago")
    return (one.id, one.host, one.pid, one.roles, one.version, state, *work)


def _api_row(one: ApiView) -> tuple[object, ...]:
    work = (one.streams, _memory(one.memory), f"{words.age(one.silent)} ago")
    return (one.id, one.host, one.pid, one.port, one.version, "serves" if one.lives else "silent", *work)


def _memory(size: int | None) -> str | None:
    return None if size is None else f"{size / (1 << 20):,.0f} MiB"
