"""`python -m bench.unmeasured api|worker …`: the same program with nothing measured and nothing logged.

What counts, and what keeps the ids for log lines, is taken out before the program is imported; samples are not added
up, and only errors are said. There is no switch for this in the service itself. Refused: any use outside the bench.
"""

import os
import runpy
import sys
from typing import Any

import prometheus_client
import structlog

PROGRAMS = ("api", "worker")


class Nothing:
    """A metric that forgets what it is told."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def labels(self, *_: Any, **__: Any) -> "Nothing":
        return self

    def collect(self) -> list[Any]:
        return []

    def inc(self, amount: float = 1) -> None:
        pass

    def dec(self, amount: float = 1) -> None:
        pass

    def set(self, value: float) -> None:
        pass

    def observe(self, value: float) -> None:
        pass

    def info(self, value: dict[str, str]) -> None:
        pass


def _nothing(*_: Any, **__: Any) -> None:
    pass


async def _nothing_due(*_: Any, **__: Any) -> None:
    pass


def take_out() -> None:
    """Metrics, samples and logs of this process."""
    for name in ("Counter", "Gauge", "Histogram", "Info"):
        setattr(prometheus_client, name, Nothing)
    from shared import logs, metrics, samples  # noqa: PLC0415 - they make their metrics where they are imported

    kept: Any = metrics.Tally, samples.Samples  # classes whose methods are to be others
    kept[0].observe = _nothing
    kept[1].add_if_due = kept[1].add = _nothing_due
    logs.begin = logs.about = _nothing

    def configure(_: Any) -> None:
        error = structlog.make_filtering_bound_logger(40)
        structlog.configure(wrapper_class=error, cache_logger_on_first_use=True)

    logs.configure = configure


def main() -> None:
    if os.environ.get("THREADMILL_BENCH") != "unmeasured" or len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit("bench.unmeasured: only the bench runs this")
    take_out()
    program = sys.argv.pop(1)
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
