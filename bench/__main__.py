"""`python -m bench` (also `make bench`): measures the service beside the plain-arq baseline.

Exit codes: 0 everything asked for was measured, whatever the bars say; 1 a run was unsound, failed or took too
long, or the baseline was slower than it may be; 2 usage or environment; 130 interrupted.
"""

import argparse
import asyncio
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.backlog import drain_backlogs
from bench.bars import bars
from bench.deltas import measure_deltas
from bench.history import compare_histories
from bench.hostile import measure_hostile
from bench.idle import measure_idle
from bench.load import LoadError
from bench.measure import run_round
from bench.neighbours import measure_neighbours
from bench.observability import measure_observability
from bench.outage import take_redis_away
from bench.report import json_line, show
from bench.results import Results
from bench.runs import measure_runs
from bench.scale import measure_scale
from bench.slow import measure_slow
from bench.stack import NotReady, Stack, commit_ms
from bench.subjects import Baseline, Service
from bench.verify import Unsound
from deploy.errors import CommandError

APPLYING = ("rounds", "outage", "neighbours", "hostile", "history", "backlog", "observability")
EXECUTING = ("runs", "deltas", "idle", "slow-clients")
USUAL = (*APPLYING, *EXECUTING)
PARTS = (*USUAL, "scale")  # that one takes six minutes by itself: only where it is asked for
LIMIT = 1200.0  # seconds that a default run may take
FULL_LIMIT = 3600.0
FULL_SECONDS = 15.0  # a run of `--full`

Failures = (Unsound, LoadError, NotReady, TimeoutError)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="The service beside plain arq.")
    parser.add_argument("--json", action="store_true", help="one last line of JSON with the same figures")
    parser.add_argument("--full", action="store_true", help="longer runs; takes up to an hour")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run (4)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="batches of the backlog (1000000)")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the long history (1000000)")
    chosen = parser.parse_args(argv)
    if chosen.full:
        chosen.seconds = max(chosen.seconds, FULL_SECONDS)
    if chosen.seconds < 1 or min(chosen.rounds, chosen.backlog, chosen.events) < 1:
        parser.error("seconds, rounds, backlog and events are at least 1")
    return chosen


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


async def run(chosen: argparse.Namespace) -> Results:
    """Everything that was asked for, on servers of its own."""
    parts = chosen.only or (PARTS if chosen.full else USUAL)
    stack = await Stack.start()
    try:
        found = Results(machine(), await commit_ms(stack.postgres.url))
        say(f"{found.machine}; one durable commit takes {found.commit_ms:.2f} ms")
        baseline, service = await Baseline.prepare(stack), await Service.prepare(stack)
        try:
            await _measure(found, parts, chosen, baseline, service)
            await _execute(found, parts, chosen, service)
        finally:
            await baseline.close()
            await service.close()
    finally:
        await stack.stop()
    return found


async def _measure(
    found: Results, parts: Sequence[str], chosen: argparse.Namespace, baseline: Baseline, service: Service
) -> None:
    for round_ in range(chosen.rounds if "rounds" in parts else 0):
        found.rounds.append(await run_round(baseline, service, chosen.seconds, round_, say))
    if "outage" in parts:
        found.outage = await take_redis_away(service, chosen.seconds, say)
    if "neighbours" in parts:
        found.neighbours = await measure_neighbours(service, chosen.seconds, say)
    if "hostile" in parts:
        found.hostile = await measure_hostile(service.stack, say)
    if "history" in parts:
        found.history = await compare_histories(service, chosen.events, chosen.seconds, chosen.rounds, say)
    if "backlog" in parts:
        found.backlogs = await drain_backlogs(service, chosen.backlog, chosen.seconds, chosen.rounds, say)
    if "scale" in parts:
        found.scale = await measure_scale(service, chosen.seconds, chosen.rounds, say)
    if "observability" in parts:
        found.observability = await measure_observability(service, chosen.seconds, chosen.rounds, say)


async def _execute(found: Results, parts: Sequence[str], chosen: argparse.Namespace, service: Service) -> None:
    """What the baseline has nothing to set against: runs, and the streams that show them."""
    if "runs" in parts:
        found.runs = await measure_runs(service, chosen.seconds, chosen.rounds, say)
    if "deltas" in parts:
        found.deltas = await measure_deltas(service, chosen.seconds, say)
    if "idle" in parts:
        found.idle = await measure_idle(service, chosen.seconds, say)
    if "slow-clients" in parts:
        found.slow = await measure_slow(service, chosen.seconds, say)


async def bounded(chosen: argparse.Namespace) -> Results:
    """As `run`, within the time it may take; Ctrl-C and SIGTERM end it in good order."""
    task = asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    limit = FULL_LIMIT if chosen.full else LIMIT
    try:
        async with asyncio.timeout(limit) as bound:
            return await run(chosen)
    except TimeoutError as error:
        if not bound.expired():
            raise
        raise TimeoutError(f"the run was not over after {limit:.0f} s; --only measures a part") from error


def main(argv: Sequence[str] | None = None) -> int:
    chosen = arguments(argv)
    started = time.monotonic()
    try:
        found = asyncio.run(bounded(chosen))
    except CommandError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except Failures as error:
        print(f"bench: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    say(f"took {time.monotonic() - started:.0f} s")
    show(found)
    if chosen.json:
        print(json_line(found))
    slow = [bar for bar in bars(found) if bar.name.startswith("CPU a batch of the baseline") and not bar.reached]
    if slow:
        print("bench: the baseline is slower than it may be: its ratios count for nothing", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
