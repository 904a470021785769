"""`python -m bench.toggled api|worker …`: the same program, which measures and logs half of the time.

Two starts of one program differ by several per cent of CPU: memory lies elsewhere, hashes do. So one process does both.
Time is cut into slices; in a drawn half of them what counts, what keeps ids for log lines, and the samples do nothing.
Its CPU and its batches in each slice are written when the program ends, to the file that `THREADMILL_BENCH` names;
SIGUSR2 begins anew. There is no such switch in the service itself. Refused: any use outside the bench.
"""

import atexit
import json
import os
import random
import runpy
import signal
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

import prometheus_client

PROGRAMS = ("api", "worker")
SLICE = 0.25  # seconds
METHODS = ("inc", "dec", "set", "observe")


def measuring(number: int) -> bool:
    """Whether a slice is one with metrics and logs: of each two neighbours one is, drawn which. All processes agree."""
    first = random.Random(number // 2).random() < 0.5
    return first == (number % 2 == 0)


def number_of(now: float) -> int:
    """Of the slice at a time of the wall's clock, seconds."""
    return int(now / SLICE)


class Toggle:
    def __init__(self) -> None:
        self.on = True
        self.batches = 0
        self._found: list[tuple[int, float, int]] = []  # number of a slice, seconds of CPU, batches
        self._number = number_of(time.time())
        self._before = (time.process_time(), 0)

    def turn(self, _: int, __: FrameType | None) -> None:
        """At the end of each slice."""
        cpu, batches = time.process_time(), self.batches
        self._found.append((self._number, cpu - self._before[0], batches - self._before[1]))
        self._number = number_of(time.time() + SLICE / 2)
        self.on = measuring(self._number)
        self._before = (cpu, batches)

    def begin(self, _: int, __: FrameType | None) -> None:
        self._found.clear()

    def slices(self) -> list[tuple[int, float, int]]:
        return self._found


def _sometimes(toggle: Toggle, method: Callable[..., None]) -> Callable[..., None]:
    def call(*args: Any, **kwargs: Any) -> None:
        if toggle.on:
            method(*args, **kwargs)

    return call


def install(toggle: Toggle) -> None:
    """Everything that measures or says looks at the toggle first, and the batches of both sides are counted."""
    kinds = (prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram)
    for kind, name in product(kinds, METHODS):
        if hasattr(kind, name):
            setattr(kind, name, _sometimes(toggle, getattr(kind, name)))
    from shared import logs, metrics, samples  # noqa: PLC0415 - they make their metrics where they are imported

    observe = _sometimes(toggle, metrics.Tally.observe)

    def count(tally: Any, values: Any, of: str = "") -> None:
        if tally is metrics.ACCEPT_SECONDS or tally is metrics.LATENCY:
            toggle.batches += len(values)
        observe(tally, values, of)

    add_if_due = samples.Samples.add_if_due

    async def add(samples_: Any, line: Any) -> None:
        if toggle.on:
            await add_if_due(samples_, line)

    ours: Any = metrics.Tally, samples.Samples  # classes whose methods are to be others
    ours[0].observe, ours[1].add_if_due = count, add
    logs.begin, logs.about = _sometimes(toggle, logs.begin), _sometimes(toggle, logs.about)


def main() -> None:
    target = os.environ.get("THREADMILL_BENCH", "")
    if not target.startswith("/") or len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit("bench.toggled: only the bench runs this")
    toggle = Toggle()
    install(toggle)
    signal.signal(signal.SIGALRM, toggle.turn)
    signal.signal(signal.SIGUSR2, toggle.begin)
    signal.setitimer(signal.ITIMER_REAL, SLICE - time.time() % SLICE, SLICE)

    def write() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        Path(target).write_text(json.dumps(toggle.slices()), encoding="utf-8")

    atexit.register(write)
    program = sys.argv.pop(1)
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
