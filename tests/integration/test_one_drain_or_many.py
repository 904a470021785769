"""Batches come to the same, whether each has a drain of its own or all share one: random stories, told twice."""

import json
import random
from typing import Any

import pytest

from shared import ids
from shared.events import (
    Event,
    MessageAdded,
    MessageDeleted,
    MessageEdited,
    RunEdited,
    RunRequested,
    RunRetried,
    UserInterrupt,
    UserMessage,
)
from shared.ids import BatchRef, FileId, MessageId, RunId, ThreadId
from shared.models import BusyPolicy
from tests.driver import Driver, codes
from tests.pipeline import PARTITIONS

STORIES = 40  # of one test
FIRST = ids.Ulid("0" * 26)  # a file; nothing here asks whether it is there
KINDS = [
    *("add", "add", "aside", "request", "request", "request_with", "native", "interrupting", "interrupt", "interrupt"),
    *("retry", "edit_run", "edit", "delete", "delete"),
]


class Story:
    """The same events each time it is told, with other ids."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a story, not a secret
        self._seed = seed
        self.runs: dict[int, RunId] = {}
        self.messages: dict[int, MessageId] = {}

    def batches(self) -> list[list[Event]]:
        self._random.seed(self._seed)
        self.runs, self.messages = {}, {}
        return [[self._event() for _ in range(self._random.randint(1, 3))] for _ in range(self._random.randint(2, 7))]

    def _event(self) -> Event:  # noqa: C901 - a case for each kind
        match self._random.choice(KINDS):
            case "add":
                return self._added("user")
            case "aside":
                return self._added("assistant")
            case "request":
                return RunRequested(self._run())
            case "request_with":
                return RunRequested(self._run(), messages=(self._added("user"),))
            case "native":
                files = [FileId(FIRST)] * self._random.choice((0, 0, 2))
                return UserMessage(self._run(), f"native {len(self.runs)}", files=tuple(files))
            case "interrupting":
                return UserMessage(self._run(), f"native {len(self.runs)}", None, BusyPolicy.INTERRUPT)
            case "retry" if self.runs:
                of = self._random.choice(list(self.runs.values()))
                return RunRetried(self._run(), of)
            case "edit_run" if self.runs:
                return RunEdited(self._random.choice(list(self.runs.values())), f"edited {self._random.random()}")
            case "edit" if self.messages:
                return MessageEdited(self._random.choice(list(self.messages.values())), {"a": "1"})
            case "delete" if self.messages:
                return MessageDeleted(self._random.choice(list(self.messages.values())))
            case _:
                return UserInterrupt()

    def _run(self) -> RunId:
        return self.runs.setdefault(len(self.runs), RunId(ids.mint()))

    def _added(self, role: str) -> MessageAdded:
        n = len(self.messages)
        message = self.messages.setdefault(n, MessageId(ids.mint()))
        return MessageAdded(message, role, [{"type": "text", "text": f"added {n}"}])


async def picture(driver: Driver, thread: ThreadId, story: Story, refs: list[BatchRef]) -> dict[str, Any]:
    """What the tables say at the end, with names for ids."""
    names = {run: f"run {n}" for n, run in story.runs.items()}
    rows = await driver.pool.fetch("select * from messages where thread = $1 order by num", thread)
    texts = {row["id"]: json.loads(row["parts"])[0]["text"] for row in rows}
    numbers = {row["num"]: texts[row["id"]] for row in rows}
    events = await driver.pool.fetch("select * from thread_events where thread = $1 order by id", thread)
    return {
        "messages": [
            (
                *(row["role"], texts[row["id"]], names.get(row["run"]), numbers.get(row["parent"]), row["metadata"]),
                json.loads(row["parts"])[1:],
            )
            for row in rows
        ],
        "runs": [
            (names[row["id"]], row["status"], row["trigger"], [texts[one] for one in row["input"] if one in texts])
            for row in await driver.runs(thread)
        ],
        "log": [
            (row["type"], None if "run." in row["type"] else row["content"], names.get(row["run"])) for row in events
        ],
        "warnings": [codes(await driver.outcome(ref)) for ref in refs],
    }


async def tell(driver: Driver, story: Story, *, together: bool) -> dict[str, Any]:
    thread = await driver.create()
    refs = []
    for batch in story.batches():
        refs.append(await driver.accept(thread, *batch))
        if not together:
            await driver.drain([ids.partition_of(thread, PARTITIONS)])
    await driver.drain([ids.partition_of(thread, PARTITIONS)])
    return await picture(driver, thread, story, refs)


@pytest.mark.parametrize("first", range(0, 4 * STORIES, STORIES))
async def test_one_drain_comes_to_what_many_come_to(driver: Driver, first: int) -> None:
    for seed in range(first, first + STORIES):
        story = Story(seed)
        many = await tell(driver, story, together=False)
        assert await tell(driver, story, together=True) == many, f"story {seed}: {story.batches()}"
