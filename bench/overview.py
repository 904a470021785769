"""`python -m bench.overview`: how long the console's first page takes with a big database, and its queue's.

Fills a database on servers of its own (`bench.big`; ten million events take minutes), starts an api, logs in, and opens
each page as a browser would, with more than a second in between, so that each look reads anew. With `--filled` it takes
the servers of DATABASE_URL and REDIS_URL, which `python -m bench.big` filled. CPU is what each process tree takes for a
look, beyond what it takes when nobody looks; it says more than times where others use the machine. Exit 1 where the
first page misses its bar.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from bench import big, cpu
from bench.stack import Program, Stack, commit_ms
from deploy import ports
from shared import accounts
from shared.db.connect import connect
from shared.db.migrate import migrate
from shared.models import TokenKind
from tests.console.browsing import Browsing

BAR_MS = 100.0  # of the first page, at the median
PAUSE = 1.2  # seconds between two looks: what was read last is shown for one
PAGES = ("/console", "/console/queue", "/console/queue/batches", "/console/queue/accounts", "/console/workers")


IDLE = 6.0  # seconds in which nobody looks


@dataclass(frozen=True, slots=True)
class Taken:
    """Of the looks at one page, milliseconds: how long each took, sorted; CPU a look by process tree."""

    times: list[float]
    cpu: Mapping[str, float]

    @property
    def median(self) -> float:
        return self.times[len(self.times) // 2]

    @property
    def p95(self) -> float:
        return self.times[-(-len(self.times) * 95 // 100) - 1]


async def measure(
    stack: Stack, database_url: str, redis_url: str, roots: Mapping[str, int], looks: int
) -> dict[str, Taken]:
    """Each page; its first look, which prepares the statements, is left out."""
    token = await _token(database_url)
    port = ports.pick()
    env = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "THREADMILL_PORT": str(port)}
    api = Program.start("api", "api", stack.directory / "api.log", env)
    try:
        await api.until_ready(f"http://127.0.0.1:{port}/readyz")
        async with aiohttp.ClientSession() as session:
            browsing = Browsing(session, f"http://127.0.0.1:{port}")
            await browsing.log_in(token)
            return {page: await _look(browsing, page, {"api": api.pid, **roots}, looks) for page in PAGES}
    finally:
        await api.stop()


async def _look(browsing: Browsing, page: str, roots: Mapping[str, int], looks: int) -> Taken:
    await _open(browsing, page)
    before, begun = cpu.snapshot(roots), time.perf_counter()
    await asyncio.sleep(IDLE)
    between, idle = cpu.snapshot(roots), time.perf_counter() - begun
    times = sorted([await _open(browsing, page) for _ in range(looks)])
    after, busy = cpu.snapshot(roots), time.perf_counter() - begun - idle
    rest = {name: (between.groups[name] - before.groups[name]) / idle for name in roots}
    spent = {name: after.groups[name] - between.groups[name] - rest[name] * busy for name in roots}
    return Taken(times, {name: max(seconds, 0.0) / looks * 1e3 for name, seconds in spent.items()})


async def _open(browsing: Browsing, page: str) -> float:
    begun = time.perf_counter()
    seen = await browsing.open(page)
    taken = (time.perf_counter() - begun) * 1e3
    if seen.status != 200:
        raise RuntimeError(f"{page}: {seen.status}")
    await asyncio.sleep(PAUSE)
    return taken


async def _token(database_url: str) -> str:
    """An operator's, in a database that is migrated with it."""
    db = await connect(database_url)
    try:
        await migrate(db)
        return (await accounts.create_token(db, None, TokenKind.ADMIN, "bench")).secret.text
    finally:
        await db.close()


async def run(chosen: argparse.Namespace) -> dict[str, Taken]:
    stack = await Stack.start()
    try:
        if chosen.filled:
            database_url, redis_url = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]
            roots = {"postgres": chosen.postgres} if chosen.postgres else {}
        else:
            database_url, redis_url, roots = stack.postgres.url, stack.redis.url, stack.roots
            await _token(database_url)
            await big.run(big.size_of(chosen), database_url, redis_url)
        big.said(f"one durable commit takes {await commit_ms(database_url):.2f} ms; load {os.getloadavg()[0]:.1f}")
        return await measure(stack, database_url, redis_url, roots, chosen.looks)
    finally:
        await stack.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.overview", description="The console over a big database.")
    big.add_sizes(parser)
    parser.add_argument("--looks", type=int, default=20, help="at each page (20)")
    parser.add_argument("--filled", action="store_true", help="use the filled servers of DATABASE_URL and REDIS_URL")
    parser.add_argument("--postgres", type=int, help="with --filled: the pid of its Postgres, for its CPU")
    found = asyncio.run(run(parser.parse_args()))
    for page, taken in found.items():
        spent = " + ".join(f"{name} {ms:.0f}" for name, ms in taken.cpu.items())
        print(
            f"{page:24} p50 {taken.median:6.1f}  p95 {taken.p95:6.1f}  slowest {taken.times[-1]:6.1f} ms  CPU {spent}"
        )
    return 0 if found[PAGES[0]].median <= BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
