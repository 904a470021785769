"""The overview is read once for all who look at the same time, however long that takes."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import MultiDict
from redis.asyncio import Redis

from api.console import overview
from api.console.overview import EVERY, Glance
from api.console.pages import Look
from shared.settings import Settings


class Slow(Glance):
    """Its readings take longer than they are good for, by the clock."""

    now = 0.0
    readings = 0

    async def _look(self, look: Look, db: Any) -> dict[str, Any]:
        Slow.readings += 1
        await asyncio.sleep(0)  # so that the others come to wait for it
        Slow.now += 1.5 * EVERY
        return {"reading": Slow.readings}


async def test_who_waits_for_a_slow_reading_does_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "time", SimpleNamespace(monotonic=lambda: Slow.now))
    look = Look(None, Redis(), Settings(), MultiDict(), True)  # type: ignore[arg-type]  # nothing is asked of Postgres
    glance = Slow(_partitions=64)
    assert await asyncio.gather(*(glance.load(look) for _ in range(3))) == [{"reading": 1}] * 3
    Slow.now += EVERY
    assert await glance.load(look) == {"reading": 2}
