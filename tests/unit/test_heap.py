"""What a process that has little to do keeps: no cycles, for long."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from shared import heap


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


class Cycle:
    def __init__(self) -> None:
        self.itself = self


async def test_cycles_go_also_where_little_is_allocated() -> None:
    heap.settle(every=0.05)
    gone = []
    for _ in range(2):  # it looks again and again
        gone.append(asyncio.Event())
        weakref.finalize(Cycle(), gone[-1].set)
        async with asyncio.timeout(5):
            await gone[-1].wait()


async def test_what_was_there_when_it_settled_is_not_looked_at() -> None:
    cycle = Cycle()
    gone = weakref.ref(cycle)
    heap.settle(every=0.05)
    del cycle
    await asyncio.sleep(0.2)
    assert gone() is not None
