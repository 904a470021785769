"""The garbage collector's settings, for processes that make and drop thousands of records a second."""

import asyncio
import ctypes
import gc
import time
from collections.abc import Callable

# Allocations between looks at the young. The default of 700 looks several times in each drain at records that all
# die by reference count: a quarter of a worker's CPU. Cycles are rare here, and are still found.
_YOUNG = 50_000
# Seconds between looks, however little came since the last one. Cycles are what failed attempts to connect leave: a
# process with little to do would keep tens of MiB of them until so many were allocated.
_EVERY = 30.0
# So many times as long as a look at everything took, only the young are looked at: it takes milliseconds, but a tenth
# of a second where thousands of streams are open.
_SHARE = 3_000


def settle(every: float = _EVERY) -> None:
    """Call it in the loop of a process that has imported and opened what it needs: that is never garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)
    asyncio.get_running_loop().call_later(every, _look, every, _trimmer(), float("-inf"))


def _look(every: float, trim: Callable[[int], object], everything_at: float) -> None:
    """And again. `everything_at`: from when on the next look is at everything; of the process' clock."""
    began = time.perf_counter()
    if began >= everything_at:
        gc.collect()
        everything_at = began + _SHARE * (time.perf_counter() - began)
    else:
        gc.collect(1)
    trim(0)
    asyncio.get_running_loop().call_later(every, _look, every, trim, everything_at)


def _trimmer() -> Callable[[int], object]:
    """Gives the system back what many requests at a time once took: an api's 2 MiB, in half a millisecond (glibc)."""
    trim: Callable[[int], object] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda _: None) if trim is None else trim
