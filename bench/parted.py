"""What parted tables cost (docs/partitioning.md): `python -m bench.parted`.

The same load on a database whose tables are whole and on parted ones, in turns: 128 clients that do not wait for
outcomes, then 16 that do. Refused: any bar.
"""

import argparse
import asyncio
import signal
import sys
from collections import defaultdict
from dataclasses import replace
from statistics import median

from bench.measure import ASYNC, Run, line, load_of, measure, warm_up
from bench.stack import Stack
from bench.subjects import Service

CASES = (("async", 128, ASYNC), ("waited", 16, ""))


async def main(parts: list[int], rounds: int, seconds: float) -> None:
    stack = await Stack.start()
    subjects: dict[str, Service] = {}
    runs: dict[tuple[str, str], list[Run]] = defaultdict(list)
    try:
        subjects["whole"] = await Service.prepare(stack, await stack.create_database("whole"))
        for count in parts:
            url = await stack.create_database(f"parts_{count}")
            subjects[f"{count} parts"] = await Service.prepare(stack, url, count)
        for round_ in range(rounds):
            for name, subject in subjects.items():
                for case, run in (await _round(subject, seconds, round_)).items():
                    runs[name, case].append(run)
                    sys.stderr.write(f"{name}: {line(run)}\n")
        for (name, case), some in runs.items():
            applied, cpu = median(r.applied_per_second for r in some), median(r.cpu_a_batch for r in some)
            postgres = median(r.cpu_us["postgres"] for r in some)
            sys.stdout.write(
                f"{name:>9} {case:>6}: {applied:6.0f}/s, {cpu:4.0f} CPU-us a batch, Postgres {postgres:4.0f}\n"
            )
    finally:
        for subject in subjects.values():
            await subject.close()
        await stack.stop()


async def _round(subject: Service, seconds: float, round_: int) -> dict[str, Run]:
    await subject.start()
    try:
        await warm_up(subject)
        return {
            case: await measure(subject, case, replace(load_of(subject, clients, seconds, prefer), seed=round_))
            for case, clients, prefer in CASES
        }
    finally:
        await subject.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.parted", description=__doc__)
    parser.add_argument("--parts", type=int, nargs="+", default=[8, 64], help="of each table (8 64)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run (4)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asyncio.run(main(options.parts, options.rounds, options.seconds))
