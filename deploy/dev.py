"""The whole service on one machine: Postgres, Redis, api and worker as our children, until a signal.

What is made at the first start (tokens, agents, passwords, ports) is kept in `DIR/dev.json` and is the same at each
later one. Servers named by DATABASE_URL and REDIS_URL are used and never started or stopped.
"""

import asyncio
import fcntl
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from deploy import context, devfile, ports, servers, services, welcome
from deploy.devfile import DevFile
from deploy.errors import SetupError
from deploy.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Options:
    port: int  # 0: the one of the last start where it is free, else any
    data: Path
    workers: int
    apis: int
    cortex_shapes: str
    as_json: bool


def run(options: Options) -> None:
    """Runs until SIGINT, SIGTERM or SIGHUP. Raises SetupError, CommandError; nothing is left running."""
    asyncio.run(_until_signal(options))


def say(line: str) -> None:
    typer.echo(f"threadmill: {line}", err=True)


async def _until_signal(options: Options) -> None:
    work = asyncio.create_task(_serve(options), name="dev")
    signalled = asyncio.Event()

    def end() -> None:
        if not signalled.is_set():  # a second signal would cut the clean-up short
            signalled.set()
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        await work
    except asyncio.CancelledError:
        if not signalled.is_set():
            raise


async def _serve(options: Options) -> None:
    with _claimed(options.data):
        async with _supervised() as supervisor:
            await _start(options, supervisor)
            await supervisor.watch()


@asynccontextmanager
async def _supervised() -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(say)
    try:
        yield supervisor
    finally:
        await supervisor.stop()


@contextmanager
def _claimed(data: Path) -> Iterator[None]:
    """The data directory, made where it is missing, ours alone. Raises SetupError."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data / "dev.lock").open("w", encoding="ascii")
    except OSError as error:
        raise SetupError(f"{data} can't be written ({error.strerror}): name a directory with --data") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(f"a `threadmill dev` runs on {data} already: stop it, or name another --data") from error
        yield


async def _start(options: Options, supervisor: Supervisor) -> None:
    """Everything, in the order of need; then says that it is ready."""
    data = options.data.resolve()
    kept = _with_port(devfile.read(data) or DevFile(password=secrets.token_urlsafe(24)), options.port)
    devfile.write(data, kept)  # before a Postgres is made with this password
    await servers.check_given()
    kept, postgres = await servers.start_postgres(data, kept, supervisor, say)
    kept, redis = await servers.start_redis(data, kept, supervisor, say)
    kept = await servers.prepare(kept, say)
    devfile.write(data, kept)
    say("starting api and worker")
    apis = services.start_apis(supervisor, options.apis, kept.ports.api, _environment(options, kept))
    workers = services.start_workers(supervisor, options.workers, _environment(options, kept))
    await services.until_ready([*apis, *workers])
    _announce(options, kept, welcome.pids(apis, workers, postgres, redis))


def _environment(options: Options, kept: DevFile) -> dict[str, str]:
    return {
        "DATABASE_URL": kept.database_url,
        "REDIS_URL": kept.redis_url,
        "THREADMILL_CORTEX_SHAPES": options.cortex_shapes,
        "THREADMILL_FILES": os.environ.get("THREADMILL_FILES", str(options.data.resolve() / "files")),
    }


def _announce(options: Options, kept: DevFile, pids: dict[str, Any]) -> None:
    if options.as_json:
        context.print_json(welcome.document(kept, pids))
    else:
        typer.echo(welcome.page(kept, options.data))


def _with_port(kept: DevFile, wanted: int) -> DevFile:
    """The values with the api's port and URL. Raises SetupError where the port is taken."""
    if wanted and not ports.is_free(wanted):
        raise SetupError(f"port {wanted} is taken: stop what listens there, or give --port (0: any free one)")
    port = wanted or ports.pick(kept.ports.api)
    chosen = kept.ports.model_copy(update={"api": port})
    return kept.model_copy(update={"ports": chosen, "url": services.api_url(port)})
