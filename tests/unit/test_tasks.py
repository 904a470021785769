"""The waits of loops: what ends them, and what does not."""

import asyncio
from functools import partial

import pytest

from shared.tasks import Rest


async def soon(value: str) -> str:
    await asyncio.sleep(0)
    return value


async def test_a_rest_comes_to_what_is_waited_for() -> None:
    assert await Rest().of(partial(soon, "rung")) == "rung"


async def test_a_rest_that_is_ended_is_over_at_once_and_so_is_every_later_one() -> None:
    rest, begun = Rest(), asyncio.Event()

    async def wait() -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    resting = asyncio.create_task(rest.of(wait))
    await begun.wait()
    rest.end()
    assert await resting is None
    begun.clear()
    assert await rest.of(wait) is None
    assert not begun.is_set()


async def test_a_time_out_of_what_is_waited_for_is_no_end() -> None:
    async def late() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await Rest().of(late)


async def test_a_loop_that_is_cancelled_in_its_rest_is_cancelled() -> None:
    resting = asyncio.create_task(Rest().of(asyncio.Event().wait))
    await asyncio.sleep(0)
    resting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resting
