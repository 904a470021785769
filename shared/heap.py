"""The garbage collector's settings, for processes that make and drop thousands of records a second."""

import asyncio
import gc

# Allocations between looks at the young. The default of 700 looks several times in each drain at records that all
# die by reference count: a quarter of a worker's CPU. Cycles are rare here, and are still found.
_YOUNG = 50_000
# Seconds between looks at what came since the last one, however little that is. Cycles are what failed attempts to
# connect leave: a process with little to do would keep tens of MiB of them until so many were allocated. What outlived
# a look is passed over by the next ones: thousands of open streams take a tenth of a second to look at.
_EVERY = 30.0


def settle(every: float = _EVERY) -> None:
    """Call it in the loop of a process that has imported and opened what it needs: that is never garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)
    _collect_after(every)


def _collect_after(seconds: float) -> None:
    def collect() -> None:
        gc.collect(1)
        _collect_after(seconds)

    asyncio.get_running_loop().call_later(seconds, collect)
