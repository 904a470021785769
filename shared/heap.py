"""The garbage collector's settings, for processes that make and drop thousands of records a second."""

import gc

# Allocations between looks at the young. The default of 700 looks several times in each drain at records that all
# die by reference count: a quarter of a worker's CPU. Cycles are rare here, and are still found.
_YOUNG = 50_000


def settle() -> None:
    """Call it when a process has imported and opened what it needs: that is never garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)
