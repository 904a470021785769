"""Messages that come with files, from the inbox through to the tables: on each way that a message is written."""

import json
from typing import Any

import pytest

from shared import ids
from shared.ids import FileId, ThreadId
from shared.models import BusyPolicy
from tests.driver import Driver
from tests.pipeline import message

FILES = (FileId(ids.mint()), FileId(ids.mint()))
WITH_FILES = [{"type": "file", "file": file} for file in FILES]


async def said(driver: Driver, thread: ThreadId) -> list[tuple[str, list[dict[str, Any]]]]:
    """Texts, and what there is beside them, in the order of the messages."""
    rows = await driver.pool.fetch("select parts from messages where thread = $1 order by num", thread)
    messages = [json.loads(row["parts"]) for row in rows]
    return [(first["text"], rest) for first, *rest in messages]


@pytest.mark.parametrize("policy", [BusyPolicy.QUEUE, BusyPolicy.INTERRUPT, BusyPolicy.STEER])
async def test_a_message_has_its_files_behind_its_text_whatever_it_does(driver: Driver, policy: BusyPolicy) -> None:
    thread, _ = await driver.executing(message("first", files=FILES[:1]))
    sent = message("second", files=FILES, on_busy=policy)
    await driver.send(thread, sent, message("third"), message("fourth", files=FILES[1:]))
    assert await said(driver, thread) == [
        ("first", WITH_FILES[:1]),
        ("second", WITH_FILES),
        ("third", []),
        ("fourth", WITH_FILES[1:]),
    ]
    log = await driver.pool.fetch(
        "select content from thread_events where thread = $1 and type = 'user.message' order by id", thread
    )
    assert [row["content"] for row in log] == ["first", "second", "third", "fourth"]


async def test_messages_with_files_and_without_go_in_one_drain_each_with_its_run(driver: Driver) -> None:
    threads = [await driver.create() for _ in range(3)]
    for n, thread in enumerate(threads):
        await driver.accept(thread, message("one", files=FILES[:n]), message("two"))
    await driver.drain()
    for n, thread in enumerate(threads):
        assert await said(driver, thread) == [("one", WITH_FILES[:n]), ("two", [])]
        runs = await driver.runs(thread)
        rows = await driver.pool.fetch("select id, run from messages where thread = $1 order by num", thread)
        assert [(run["input"], run["id"]) for run in runs] == [([row["id"]], row["run"]) for row in rows]
