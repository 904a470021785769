"""What the bell tells of its drains, by which it pauses between them where several workers drain."""

import asyncio
from typing import Any

import pytest

from shared import ids
from shared.ids import ThreadId
from shared.settings import Settings
from tests.pipeline import message, new_caller, running_crew, running_inbox
from tests.watch import until
from worker.pace import pause

SENDERS = 16  # each sends one batch behind the other
BETWEEN = 0.02  # seconds: a backlog has no pauses


@pytest.fixture
async def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Each question for a pause, with its answer, which stays what it is."""
    asked: list[dict[str, Any]] = []

    def listen(seconds: float, applied: int, workers: int, *, cycle: float, awaited: bool) -> float:
        rest = pause(seconds, applied, workers, cycle=cycle, awaited=awaited)
        asked.append({"seconds": seconds, "applied": applied, "cycle": cycle, "awaited": awaited, "rest": rest})
        return rest

    monkeypatch.setattr("worker.doorbell.pause", listen)
    return asked


@pytest.mark.parametrize("waits", [True, False])
async def test_drains_right_behind_each_other_pause_by_their_own_pace(
    settings: Settings, told: list[dict[str, Any]], waits: bool
) -> None:
    async with running_inbox(settings) as inbox:
        await inbox.pool.execute(  # it has half of the partitions, and claims nothing: they are anybody's after 0.2 s
            "insert into workers (id, host, pid, roles, version, seen_at)"
            " values ($1, 'cut off', 1, 'all', '1', clock_timestamp() + interval '1 minute')",
            ids.from_bytes(bytes(16)),
        )
        caller = await new_caller(inbox)
        async with running_crew(settings) as crew:
            bell = crew.doorbell
            assert bell is not None

            async def shared() -> bool:
                return bell.workers == 2

            await until(shared)
            threads = [(await caller.create(wait=0))[0] for _ in range(SENDERS)]

            async def send(thread: ThreadId) -> None:
                while not any(one["applied"] for one in told):
                    await inbox.submit(caller.submission(thread, [message()], reply=waits), 5 if waits else 0)
                    await asyncio.sleep(BETWEEN)

            async with asyncio.timeout(20):
                await asyncio.gather(*map(send, threads))
    asked = [one for one in told if one["applied"]]
    assert {one["awaited"] for one in asked} == {waits}
    assert all(one["seconds"] > 0 and 0 < one["cycle"] < 20 for one in asked), asked
