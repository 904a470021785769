"""`python -m api`: serves until SIGTERM or SIGINT, then lets the open requests end."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog
import uvloop
from aiohttp import web

from api import broken
from api.app import HEARTBEAT, create_app
from api.server import Runner
from api.tracing import Tracing
from shared import crashpoints, heap, traces
from shared.db import durability
from shared.db.connect import AWAY, DURABLE, connect
from shared.db.durability import NotDurable
from shared.db.migrate import SchemaTooNew, SchemaTooOld, check
from shared.db.way import Misconfigured
from shared.files.opening import StorageUnusable
from shared.logs import configure, take_over
from shared.settings import Settings
from shared.start import read_settings, told

log = structlog.get_logger()


def main() -> None:
    options = _options()
    settings = read_settings()
    configure(settings)
    take_over()
    crashpoints.arm(settings.testing)
    found = traces.start("threadmill-api")
    tracing = None if found is None else Tracing(found)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sys.exit(runner.run(serve(settings, options.port_file, tracing, reuse_port=options.reuse_port)))
    finally:
        if found is not None:
            found.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--port-file", type=Path, help="where to write the port once it is bound")
    parser.add_argument("--reuse-port", action="store_true", help="share the port with other apis of this machine")
    return parser.parse_args()


async def serve(
    settings: Settings, port_file: Path | None = None, tracing: Tracing | None = None, *, reuse_port: bool = False
) -> int:
    """Serves until a signal. Returns 0, or 2 where it must not start: a newer database, an address in use."""
    try:
        await _check_schema(settings.database_url)
    except (SchemaTooNew, NotDurable, Misconfigured, broken.NotATests) as error:
        log.error("the api can't start", error=str(error))
        return 2
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        app = await create_app(settings, tracing)
    except StorageUnusable as error:
        log.error("the api can't start", error=str(error))
        return 2
    # aiohttp waits twice for a request that does not end, the second time after telling it so.
    runner = Runner(app, shutdown_timeout=settings.drain_timeout / 2, tracing=tracing)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=1024, reuse_port=reuse_port or None)
        await site.start()
        port: int = runner.addresses[0][1]
        app[HEARTBEAT].listen(port)
        _announce(port, settings, port_file)
        await stopped.wait()
        log.info("api stopping")
    except OSError as error:
        log.error("the api can't listen", host=settings.host, port=settings.port, error=str(error))
        return 2
    finally:
        await runner.cleanup()
    log.info("api stopped")
    return 0


async def _check_schema(database_url: str) -> None:
    """Raises SchemaTooNew, NotDurable, Misconfigured, NotATests. Whether a database is away, or old, is `/readyz`'s to
    tell."""
    try:
        connection = await connect(database_url, command_timeout=5, **DURABLE)
        try:
            await check(connection)
            await durability.check(connection)
            await broken.drop_key_index(connection)
        finally:
            await connection.close()
    except SchemaTooOld as error:
        log.warning("the database is not ready", error=str(error))
    except Misconfigured:  # it is in AWAY as well
        raise
    except AWAY as error:
        log.warning("the database is away", error=repr(error))


def _announce(port: int, settings: Settings, port_file: Path | None) -> None:
    heap.settle()
    if port_file is not None:
        partial = port_file.with_name(f"{port_file.name}.partial")
        partial.write_text(f"{port}\n", encoding="utf-8")
        partial.rename(port_file)  # whoever waits for the file finds the port in it
    log.info("api listening", url=f"http://{settings.host}:{port}", **told(settings))


if __name__ == "__main__":
    main()
