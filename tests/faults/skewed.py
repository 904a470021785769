"""`python -m tests.faults.skewed <seconds> <module> [argument…]`: runs a module with a clock that is off.

For machines without libfaketime, which turns the clock of the whole process; here every clock of Python's own that
tells the time of day is, and timers run as ever.
"""

import datetime
import runpy
import sys
import time
from typing import Any


def skew(seconds: float) -> None:
    """Before anything else is imported: what took its clock already keeps it."""
    now, now_ns, real = time.time, time.time_ns, datetime.datetime

    class Skewed(real):  # type: ignore[misc, valid-type]  # mypy takes a variable for no base
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return cls.fromtimestamp(now() + seconds, tz)

    time.time = lambda: now() + seconds
    time.time_ns = lambda: now_ns() + int(seconds * 1e9)
    datetime.datetime = Skewed  # type: ignore[misc]  # on purpose


if __name__ == "__main__":
    _, offset, module, *arguments = sys.argv
    skew(float(offset))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
