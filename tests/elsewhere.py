"""Runs a command against other servers than the embedded ones, started for it and ended after it.

`python -m tests.elsewhere --postgres /usr/lib/postgresql/15/bin --redis /usr/bin/redis-server -- pytest …`; with
`--pooler` what a test does goes through a PgBouncer; its database is made past it.
"""

import argparse
import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy import children, embedded, ports
from deploy.embedded import Server
from tests import scratch
from tests.pooler import MISSING, PROGRAM, Pooler, start_pooler


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.elsewhere", description=__doc__)
    parser.add_argument("--postgres", type=Path, help="the directory that holds initdb and postgres; else the wheel's")
    parser.add_argument("--redis", type=Path, help="the redis-server or valkey-server; else the wheel's")
    parser.add_argument("--pooler", action="store_true", help="a PgBouncer in between, in transaction mode")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if options.pooler and PROGRAM is None:
        parser.error(MISSING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    scratch.choose()
    with tempfile.TemporaryDirectory(prefix="threadmill-elsewhere-") as directory:
        return _run(options.command, Path(directory), options.postgres, options.redis, pooler=options.pooler)


def _run(command: list[str], directory: Path, postgres: Path | None, redis: Path | None, *, pooler: bool) -> int:
    started: list[Server | Pooler] = []
    try:
        asyncio.run(_start(started, directory, postgres, redis, pooler=pooler))
        names = ("THREADMILL_TEST_DATABASE_URL", "THREADMILL_TEST_REDIS_URL", "THREADMILL_TEST_POOLER_URL")
        urls = {name: server.url for name, server in zip(names, started, strict=False)}
        return subprocess.run(command, env={**os.environ, **urls}, check=False).returncode
    finally:
        asyncio.run(_stop(started))


async def _start(
    started: list[Server | Pooler], directory: Path, postgres: Path | None, redis: Path | None, *, pooler: bool
) -> None:
    password = secrets.token_hex(16)
    server = await embedded.start_postgres(
        directory / "postgres", ports.pick(), password, settings=embedded.THROWAWAY, binaries=postgres
    )
    started.append(server)
    started.append(await embedded.start_redis(directory, ports.pick(), password, binary=redis))
    if pooler:
        started.append(await start_pooler(directory / "pooler", server.url, every_database=True))


async def _stop(started: list[Server | Pooler]) -> None:
    for server in started:
        await children.end(server.process, server.command)


if __name__ == "__main__":
    sys.exit(main())
