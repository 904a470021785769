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


async def test_cycles_that_were_in_use_for_long_go_too() -> None:
    heap.settle(every=0.05)
    cycle, gone = Cycle(), asyncio.Event()
    weakref.finalize(cycle, gone.set)
    gc.collect(1)  # it is among the old ones now
    del cycle
    async with asyncio.timeout(5):
        await gone.wait()


async def test_where_a_look_at_everything_takes_long_the_next_ones_are_at_the_young(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heap, "_SHARE", 1e9)
    heap.settle(every=0.05)
    young = asyncio.Event()
    weakref.finalize(Cycle(), young.set)
    async with asyncio.timeout(5):
        await young.wait()  # by the first look, which is at everything
    old, young = Cycle(), asyncio.Event()
    gone = weakref.ref(old)
    gc.collect(1)
    del old
    weakref.finalize(Cycle(), young.set)
    async with asyncio.timeout(5):
        await young.wait()
    assert gone() is not None


async def test_what_was_there_when_it_settled_is_not_looked_at() -> None:
    cycle = Cycle()
    gone = weakref.ref(cycle)
    heap.settle(every=0.05)
    del cycle
    await asyncio.sleep(0.2)
    assert gone() is not None
