"""`python -m worker [--role apply|execute|all]`: a worker process, with its health and metrics on a port of its own."""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress

import structlog
import uvloop

from shared import crashpoints, heap, traces
from shared.db.durability import NotDurable
from shared.db.migrate import SchemaTooNew
from shared.db.way import Misconfigured
from shared.files.opening import StorageUnusable
from shared.logs import configure, take_over
from shared.settings import Settings
from shared.start import read_settings, told
from shared.traces import Traces
from worker.health import serve
from worker.main import ThreadmillWorker
from worker.tracing import Tracing

log = structlog.get_logger()


async def run(settings: Settings, role: str, found: Traces | None = None) -> int:
    """Works until SIGTERM or SIGINT; ends what is in hand. Returns 0, or 2 where it must not start."""
    worker = ThreadmillWorker(settings, role, None if found is None else Tracing(found))
    health = await serve(settings, worker.crew)
    loop = asyncio.get_running_loop()
    main = asyncio.create_task(worker.main(), name="worker")
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, main.cancel)
    heap.settle()
    log.info("worker started", worker=worker.crew.id, role=role, port=health.port, **told(settings))
    try:
        with suppress(asyncio.CancelledError):
            await main
        return 0
    except (SchemaTooNew, NotDurable, Misconfigured, StorageUnusable) as error:
        log.error("the worker can't start", error=str(error))
        return 2
    finally:
        log.info("worker stopping", worker=worker.crew.id)
        await worker.close()
        await health.close()
        log.info("worker stopped", worker=worker.crew.id, applied=worker.crew.aftermath.applied)
        if worker.crew.executor is not None and worker.crew.executor.stubborn:
            log.warning("a runner does not stop; the process ends without it")
            if found is not None:
                found.close()
            os._exit(0)  # the loop's end would wait for it


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker", description="Applies batches that wait in the queue.")
    parser.add_argument(
        "--role",
        choices=("apply", "execute", "all"),
        default="all",
        help="what this worker does (default: all)",
    )
    role: str = parser.parse_args().role
    settings = read_settings()
    configure(settings)
    take_over()
    crashpoints.arm(settings.testing)
    found = traces.start("threadmill-worker")
    try:
        return uvloop.run(run(settings, role, found))
    finally:
        if found is not None:
            found.close()


if __name__ == "__main__":
    sys.exit(main())
