"""A remembered look-up: for how long, of how many, and once for all who ask at the same time."""

import asyncio
from dataclasses import dataclass, field

import pytest

from api.lookup import Lookup


@dataclass
class Source:
    """Where values are looked up, with a clock that the test turns."""

    values: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    now: float = 0.0
    error: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def load(self, key: str) -> int | None:
        self.asked.append(key)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.values.get(key)

    def lookup(self, limit: int = 100) -> Lookup[str, int]:
        return Lookup(self.load, lambda value: 10.0 if value is not None else 1.0, limit, lambda: self.now)


@pytest.fixture
def source() -> Source:
    source = Source({"a": 1, "b": 2})
    source.gate.set()
    return source


async def test_an_answer_is_remembered_for_its_time(source: Source) -> None:
    lookup = source.lookup()
    assert [await lookup.get("a"), await lookup.get("a")] == [1, 1]
    source.now = 9.9
    assert await lookup.get("a") == 1
    assert source.asked == ["a"]
    source.now, source.values["a"] = 10.0, 3
    assert await lookup.get("a") == 3


async def test_what_is_not_there_is_remembered_shorter(source: Source) -> None:
    lookup = source.lookup()
    assert [await lookup.get("x"), await lookup.get("x")] == [None, None]
    source.now, source.values["x"] = 1.0, 7
    assert await lookup.get("x") == 7
    assert source.asked == ["x", "x"]


async def test_time_counts_from_the_question_and_not_from_the_answer(source: Source) -> None:
    lookup = source.lookup()
    source.gate.clear()
    first = asyncio.create_task(lookup.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.now = 10.0
    source.gate.set()
    await first
    await lookup.get("a")
    assert source.asked == ["a", "a"]


async def test_all_who_ask_at_once_share_one_look_up(source: Source) -> None:
    lookup = source.lookup()
    assert await asyncio.gather(*[lookup.get("a") for _ in range(100)]) == [1] * 100
    assert source.asked == ["a"]


async def test_who_goes_away_does_not_take_the_answer_from_the_others(source: Source) -> None:
    lookup = source.lookup()
    source.gate.clear()
    leaver, stayer = asyncio.create_task(lookup.get("a")), asyncio.create_task(lookup.get("a"))
    await asyncio.sleep(0)
    leaver.cancel()
    source.gate.set()
    assert await stayer == 1
    assert source.asked == ["a"]


async def test_an_error_is_told_to_all_and_not_remembered(source: Source) -> None:
    lookup = source.lookup()
    source.error = ValueError("away")
    errors = await asyncio.gather(*[lookup.get("a") for _ in range(3)], return_exceptions=True)
    assert [repr(error) for error in errors] == ["ValueError('away')"] * 3
    source.error = None
    assert await lookup.get("a") == 1


async def test_it_remembers_no_more_than_its_limit(source: Source) -> None:
    lookup = source.lookup(limit=10)
    for n in range(1_000):
        await lookup.get(f"stranger {n}")
    assert len(lookup._known) <= 10
