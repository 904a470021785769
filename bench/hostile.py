"""`python -m bench.hostile [--times N]`: what hostile requests cost an api process. Three figures and a verdict.

Sends every request of `tests/hostile.py` to every route of the three dialects that takes JSON and needs no thread with
a history, of an api on servers of its own, until N (10,000) have been answered behind a first round to warm it up, one
after another, each on a connection of its own as an attacker's would be, with an ordinary batch after those of each
route. Prints the answer times of the hostile ones and of the ordinary ones, how many rows the hostile ones left, and by
how much the process' memory rose over the N. Exit code 1 where a bar is missed or an answer was not the stated one. The
bench's part `hostile` does the same on the bench's servers.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from bench import cpu
from bench.measure import Say
from bench.stack import Program, Stack
from deploy import ports
from shared import accounts, agents
from shared.db.connect import connect
from shared.db.migrate import migrate
from shared.db.statements import statements
from shared.models import TokenKind
from tests.hostile import FINE, JSON, REQUESTS, Hostile, Target, exchange, request, targets, to_events

SQL = statements("service", "bench")
TIMES = 10_000  # hostile requests
WARM = 1  # rounds before the memory is first read
P99 = 0.020  # seconds
RISE = 20.0  # MiB
LOCAL = "127.0.0.1"


@dataclass(slots=True)
class Figures:
    hostile: dict[str, list[float]] = field(default_factory=dict)  # seconds, by name
    ordinary: list[float] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    rise: float = 0.0  # MiB
    stored: int = 0  # rows that the hostile ones left

    @property
    def p99(self) -> float:
        """Seconds, of all hostile ones."""
        return quantile(self.times(), 0.99)

    def line(self) -> str:
        return (
            f"Hostile requests, {len(self.times()):,}: p50 {quantile(self.times(), 0.5) * 1e3:.2f} ms, p99"
            f" {self.p99 * 1e3:.2f} ms, {self.stored} rows stored, memory rose by {self.rise:.1f} MiB"
        )

    def document(self) -> dict[str, Any]:
        return {
            "requests": len(self.times()),
            "p50": round(quantile(self.times(), 0.5) * 1e3, 3),
            "p99": round(self.p99 * 1e3, 3),
            "ordinary p99": round(quantile(self.ordinary, 0.99) * 1e3, 3),
            "rows_stored": self.stored,
            "rise_mib": round(self.rise, 1),
            "wrong": sorted(self.wrong),
        }

    def times(self) -> list[float]:
        return [taken for row in self.hostile.values() for taken in row]

    def missed(self) -> list[str]:
        found = [f"{name}: not the stated answer" for name in sorted(self.wrong)]
        if self.p99 > P99:
            found.append(f"p99 over {P99 * 1e3:.0f} ms")
        if self.stored:
            found.append(f"{self.stored} rows stored")
        if self.rise > RISE:
            found.append(f"memory rose by more than {RISE:.0f} MiB")
        return found


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def attack(url: str, token: str, names: Mapping[str, str], pid: int, times: int) -> Figures:
    """Sends until `times` hostile requests were answered behind those that warm up. `names` are ids by parameters."""
    figures, attacked = Figures({name: [] for name in REQUESTS}), list(reachable(names))
    ordinary = to_events(Hostile(200, "", FINE, (JSON, "Prefer: respond-async")), token, names["threadId"])
    before = 0.0
    for n in range(WARM + -(-times // sum(len(target.rows()) for target, _ in attacked))):
        if n == WARM:
            before = cpu.resident_mib(pid)
        for target, path in attacked:
            for name, row in target.rows().items():
                status, taken = timed(url, request(row, token, path, target.method))
                figures.hostile[name].append(taken)
                if status != row.status:
                    figures.wrong.add(f"{target.method} {target.path}, {name}")
            figures.ordinary.append(timed(url, ordinary)[1])
    figures.rise = cpu.resident_mib(pid) - before
    return figures


def reachable(names: Mapping[str, str]) -> Iterator[tuple[Target, str]]:
    """Routes with the paths that these ids make; those that need others are left out."""
    for target in targets():
        if all(name in names for name in re.findall(r"{(\w+)}", target.path)):
            yield target, target.path.format(**names)


def timed(url: str, data: bytes) -> tuple[int, float]:
    started = time.perf_counter()
    status, _ = exchange(url, data)
    return status, time.perf_counter() - started


async def prepare(db: asyncpg.Connection) -> tuple[str, str]:
    """A token, and an agent of its account that takes threads."""
    await migrate(db)
    account = await accounts.create_account(db, "bench")
    token = await accounts.create_token(db, account.id, TokenKind.HUMAN_PAT)
    agent = await agents.create_agent(db, account.id, "echo", "echo", published=True)
    return token.secret.text, agent.id


async def measure_hostile(stack: Stack, say: Say, times: int = TIMES) -> Figures:
    """An api without a worker on a new database: what is stored stays as it was stored. Raises NotReady."""
    database_url = await stack.create_database("hostile")
    db = await connect(database_url)
    port = ports.pick()
    environment = {"DATABASE_URL": database_url, "REDIS_URL": stack.redis.url, "THREADMILL_PORT": str(port)}
    try:
        token, agent = await prepare(db)
        program = Program.start("api", "api", stack.directory / "hostile-api.log", environment)
        try:
            url = f"http://{LOCAL}:{port}"
            await program.until_ready(f"{url}/readyz")
            thread = await asyncio.to_thread(new_thread, url, token, agent)
            before = await db.fetchval(SQL["stored"])
            names = {"threadId": thread, "agentId": agent, "name": "echo", "database": "a", "schema": "b"}
            figures = await asyncio.to_thread(attack, url, token, names, program.pid, times)
            figures.stored = await db.fetchval(SQL["stored"]) - before - len(figures.ordinary)
        finally:
            await program.stop()
    finally:
        await db.close()
    say(figures.line())
    return figures


async def run(times: int) -> Figures:
    """On servers of its own."""
    stack = await Stack.start()
    try:
        return await measure_hostile(stack, lambda _: None, times)
    finally:
        await stack.stop()


def new_thread(url: str, token: str, agent: str) -> str:
    """The id of a thread, made without a worker."""
    head = f"POST /api/v1/agents/{agent}/threads HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 2\r\nPrefer: respond-async\r\nConnection: close\r\n\r\n"
    _, body = exchange(url, head.encode() + b"{}")
    return body.split(b'"/api/v1/threads/')[1][:26].decode()


def show(figures: Figures) -> None:
    print(f"{'request':45} {'n':>6} {'p50 ms':>8} {'p99 ms':>8}")
    rows = {**figures.hostile, "all of them": figures.times(), "an ordinary batch, after each route": figures.ordinary}
    for name, taken in rows.items():
        print(f"{name:45} {len(taken):6} {quantile(taken, 0.5) * 1e3:8.2f} {quantile(taken, 0.99) * 1e3:8.2f}")
    print(figures.line())
    for line in figures.missed():
        print(f"MISSED: {line}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description="What hostile requests cost an api.")
    parser.add_argument("--times", type=int, default=TIMES, help="hostile requests (10000)")
    figures = asyncio.run(run(parser.parse_args().times))
    show(figures)
    return 1 if figures.missed() else 0


if __name__ == "__main__":
    sys.exit(main())
