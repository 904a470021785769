"""`python -m bench.sampled api|worker …`: the same program, which looks at itself every 2 ms of its CPU time.

It counts how many of those looks fall into what measures and logs. Time of CPU is sampled, not time that passes: a
machine that is busy with something else changes the answer little. SIGUSR2 begins anew; the counts are written when the
program ends, to the file that `THREADMILL_BENCH` names. Refused: any use outside the bench.
"""

import atexit
import json
import os
import runpy
import signal
import sys
from pathlib import Path
from types import FrameType

from bench.unmeasured import PROGRAMS

EVERY = 0.002  # seconds of CPU
MEASURING = ("/prometheus_client/", "/structlog/", "/logging/", "/opentelemetry/")
OURS = tuple(f"/shared/{name}.py" for name in ("metrics", "logs", "samples", "masks", "tracebacks", "traces"))


class Sampler:
    def __init__(self) -> None:
        self.samples = 0
        self.measuring = 0
        self._known: dict[str, bool] = {}

    def look(self, _: int, frame: FrameType | None) -> None:
        self.samples += 1
        while frame is not None:
            if self._measures(frame.f_code.co_filename):
                self.measuring += 1
                return
            frame = frame.f_back

    def begin(self, _: int, __: FrameType | None) -> None:
        self.samples = self.measuring = 0

    def _measures(self, path: str) -> bool:
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = any(part in path for part in MEASURING) or path.endswith(OURS)
        return known


def main() -> None:
    target = os.environ.get("THREADMILL_BENCH", "")
    if not target.startswith("/") or len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit("bench.sampled: only the bench runs this")
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler.look)
    signal.signal(signal.SIGUSR2, sampler.begin)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)

    def write() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        found = {"samples": sampler.samples, "measuring": sampler.measuring}
        Path(target).write_text(json.dumps(found), encoding="utf-8")

    atexit.register(write)
    program = sys.argv.pop(1)
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
