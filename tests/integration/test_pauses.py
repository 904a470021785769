"""What the bell tells of its drains, by which it pauses between them where several workers drain."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from shared.ids import ThreadId
from shared.settings import Settings
from tests.pipeline import message, new_caller, running_crew, running_inbox
from tests.rows import add_cut_off_worker
from tests.watch import until
from worker.pace import pause

SENDERS = 16  # each sends one batch behind the other
MOMENT = 0.005  # seconds, from the end of what was timed to the question
BETWEEN = 0.02  # seconds: a backlog has no pauses


@pytest.fixture
async def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each question for a pause says; its answer stays what it is."""
    asked: list[dict[str, Any]] = []

    def listen(seconds: float, applied: int, workers: int, *, cycle: float, awaited: bool) -> float:
        began = asyncio.get_running_loop().time() - seconds
        asked.append({"began": began, "seconds": seconds, "applied": applied, "cycle": cycle, "awaited": awaited})
        return pause(seconds, applied, workers, cycle=cycle, awaited=awaited)

    monkeypatch.setattr("worker.doorbell.pause", listen)
    return asked


@pytest.mark.parametrize("waits", [True, False])
async def test_a_pause_is_asked_for_with_the_time_since_the_drain_before_and_whether_somebody_waits(
    settings: Settings, told: list[dict[str, Any]], waits: bool
) -> None:
    async with running_inbox(settings) as inbox:
        await add_cut_off_worker(inbox.pool)
        caller = await new_caller(inbox)
        async with running_crew(settings) as crew:
            bell = crew.doorbell
            assert bell is not None

            async def shared() -> bool:
                return bell.workers == 2

            await until(shared)
            made = [caller.create(wait=5 if waits else 0) for _ in range(SENDERS)]
            threads = [thread for thread, _ in await asyncio.gather(*made)]

            async def send(thread: ThreadId) -> None:
                while sum(one["applied"] > 0 for one in told) < 2:
                    await inbox.submit(caller.submission(thread, [message()], reply=waits), 5 if waits else 0)
                    await asyncio.sleep(BETWEEN)

            async with asyncio.timeout(20):
                await asyncio.gather(*map(send, threads))
    assert {one["awaited"] for one in told if one["applied"]} == {waits}
    assert all(one["seconds"] > 0 for one in told)
    for before, one in pairwise(told):  # there may be drains between them that nothing was asked about
        assert 0 < one["cycle"] < one["began"] - before["began"] + MOMENT, told
