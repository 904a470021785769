"""Load from a process of its own, and what came of it: wrk where it is installed, else our own generator.

wrk is Debian's (`apt-get install wrk`); it costs less CPU than the sockets it opens. It stops with requests still
out, so the rows may be more than the answers, by at most the number of clients. Our own client waits for every
answer and looks into it; it is used for 1 and 16 clients always, for 128 where there is no wrk.
"""

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

_FEW = 16  # clients up to which our own client costs nothing that shows
_PATIENCE = 30.0  # seconds beyond the load's own before the generator counts as hung
# Of several generators' figures: counts add up; of times the worst counts.
_MERGED: dict[str, Callable[[Iterable[Any]], Any]] = {
    **dict.fromkeys(("answers", "refused", "broken", "pending"), sum),
    **dict.fromkeys(("seconds", "p50_ms", "p99_ms", "max_ms"), max),
}
_LUA = Path(__file__).with_name("mix.lua")


class LoadError(Exception):
    """The load generator ended badly."""


@dataclass(frozen=True, slots=True)
class Load:
    port: int
    token: str
    threads: Sequence[str]
    clients: int
    seconds: float
    prefer: str = ""  # the value of the `Prefer` header; empty: the service waits for the outcome
    messages: int = 70  # percent
    interrupts: int = 20  # percent; what is left are decisions on unknown requests
    seed: int = 1
    rate: float = 0.0  # requests a second of all clients together; 0: as fast as the answers come
    ports: Sequence[int] = ()  # of several apis, which share the clients; empty: `port` alone


@dataclass(frozen=True, slots=True)
class Answers:
    generator: str  # wrk | ours
    answers: int  # 2xx
    refused: int  # any other status
    broken: int  # connections lost, answers that never came
    pending: int  # answers that came without the outcome although they waited for it
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_seconds: float


async def drive(load: Load) -> Answers:
    """Runs one load to its end, by a generator for each api. Raises LoadError."""
    wrk = load.clients > _FEW and not load.rate and shutil.which("wrk") is not None
    before = _children_seconds()
    texts = await asyncio.gather(*((_wrk if wrk else _ours)(share) for share in _shares(load)))
    spent = _children_seconds() - before
    found = [json.loads(text) for text in texts]
    figures = {name: merge(one[name] for one in found) for name, merge in _MERGED.items()}
    seconds = spent if wrk else sum(one["cpu_seconds"] for one in found)  # wrk does not know its own
    return Answers(generator="wrk" if wrk else "ours", cpu_seconds=seconds, **figures)


def _shares(load: Load) -> list[Load]:
    """The clients of each api."""
    if not load.ports:
        return [load]
    many = len(load.ports)
    return [
        replace(
            load, port=port, ports=(), clients=load.clients // many, rate=load.rate / many, seed=load.seed * many + n
        )
        for n, port in enumerate(load.ports)
    ]


async def _wrk(load: Load) -> str:
    with tempfile.NamedTemporaryFile("w", prefix="bench-threads-") as threads:
        threads.write("\n".join(load.threads) + "\n")
        threads.flush()
        command = ["wrk", "-t1", f"-c{load.clients}", f"-d{round(load.seconds)}s", "--timeout", "10s"]
        command += ["-s", str(_LUA), f"http://127.0.0.1:{load.port}/"]
        return await _run(command, load, _environment(load, threads.name))


async def _ours(load: Load) -> str:
    text = json.dumps(asdict(load) | {"threads": list(load.threads)})
    return await _run([sys.executable, "-m", "bench.client"], load, dict(os.environ), text)


async def _run(command: list[str], load: Load, environment: dict[str, str], given: str = "") -> str:
    """The last line that the generator prints. It is ended with us, whatever happens."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(load.seconds + _PATIENCE):
            out, err = await process.communicate(given.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not out.strip():
        raise LoadError(f"{command[0]} ended with {process.returncode}: {err.decode()[-500:]}")
    return out.decode().strip().splitlines()[-1]


def _environment(load: Load, threads: str) -> dict[str, str]:
    return dict(
        os.environ,
        BENCH_THREADS=threads,
        BENCH_TOKEN=load.token,
        BENCH_PREFER=load.prefer,
        BENCH_MESSAGES=str(load.messages),
        BENCH_INTERRUPTS=str(load.interrupts),
        BENCH_SEED=str(load.seed),
    )


def _children_seconds() -> float:
    """CPU of all children that ended: between two readings wrk's alone, nothing else ends meanwhile."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
