"""Runs a command against other servers than the embedded ones, started for it and ended after it.

`python -m tests.elsewhere --postgres /usr/lib/postgresql/15/bin --redis /usr/bin/redis-server -- pytest …`
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.elsewhere", description=__doc__)
    parser.add_argument("--postgres", type=Path, required=True, help="the directory that holds initdb and postgres")
    parser.add_argument("--redis", type=Path, required=True, help="the redis-server or valkey-server")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    scratch.choose()
    with tempfile.TemporaryDirectory(prefix="threadmill-elsewhere-") as directory:
        return _run(options.command, Path(directory), options.postgres, options.redis)


def _run(command: list[str], directory: Path, postgres: Path, redis: Path) -> int:
    started: list[Server] = []
    try:
        asyncio.run(_start(started, directory, postgres, redis))
        urls = {
            "THREADMILL_TEST_DATABASE_URL": started[0].url,
            "THREADMILL_TEST_REDIS_URL": started[1].url,
        }
        return subprocess.run(command, env={**os.environ, **urls}, check=False).returncode
    finally:
        asyncio.run(_stop(started))


async def _start(started: list[Server], directory: Path, postgres: Path, redis: Path) -> None:
    password = secrets.token_hex(16)
    server = await embedded.start_postgres(
        directory / "postgres", ports.pick(), password, settings=embedded.THROWAWAY, binaries=postgres
    )
    started.append(server)
    started.append(await embedded.start_redis(directory, ports.pick(), password, binary=redis))


async def _stop(started: list[Server]) -> None:
    for server in started:
        await children.end(server.process, server.command)


if __name__ == "__main__":
    sys.exit(main())
