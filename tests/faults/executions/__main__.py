"""`python -m tests.faults.executions kills|cancels [--seed N] [--count N]`, or `make faults-runs`.

Prints one line of JSON. Exit 1 where anything is wrong, or where too little happened for the run to mean something.
"""

import argparse
import asyncio
import signal
import sys

from tests.faults.executions import cancels, kills
from tests.faults.servers import Servers


async def run(program: str, seed: int, count: int | None) -> int:
    servers = Servers()
    try:
        await servers.start()
        report: kills.Report | cancels.Report
        if program == "kills":
            report = await kills.kill_run(kills.Plan(seed=seed, kills=count or kills.KILLS), servers)
        else:
            plan = cancels.Plan(seed=seed, interrupts=count or cancels.INTERRUPTS)
            report = await cancels.cancel_run(plan, servers)
    finally:
        await servers.stop()
    sys.stdout.write(f"{report.line()}\n")
    for fault in report.faults[:50]:
        sys.stderr.write(f"{fault}\n")
    return int(bool(report.faults))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.executions", description=__doc__)
    parser.add_argument("program", choices=("kills", "cancels"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, help="how many kills (50) or interrupts (1,000)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its servers and processes end with it
    return asyncio.run(run(options.program, options.seed, options.count))


if __name__ == "__main__":
    sys.exit(main())
