"""A run that makes a file, as each dialect streams it: the native one tells of it, the others are as without it."""

from typing import Any

import pytest

from tests.agents import Stage
from tests.contract.cortex_client import Cortex, asking, frames
from tests.contract.openai_client import sdk
from tests.file_runners import MADE
from tests.stage import following

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]


@pytest.fixture(autouse=True)
async def makes(stage: Stage) -> None:
    await stage.become("tests.file_runners:makes_one")


async def test_the_native_stream_tells_of_the_file_and_of_the_list(stage: Stage) -> None:
    thread = await stage.client.new_thread()
    async with following(stage.client, thread) as follower:
        run = await stage.say(thread, "go")
        types: list[str] = []
        while "run.completed" not in types:
            types.append((event := await follower.event())["type"])
            if event["type"] in ("file.changed", "session_files.updated"):
                assert (event["runId"], event["status"]) == (run, "available")
                cursor = event["id"]
    assert types.count("file.changed") == types.count("session_files.updated") == 1
    assert types.index("file.changed") < types.index("session_files.updated") < types.index("agent.message.delta")
    async with following(stage.client, thread, Last_Event_ID=cursor) as follower:
        assert (await follower.event())["type"] == "agent.message.delta"


async def test_cortex_streams_the_same_frames_as_ever(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    async with cortex.streaming(asking("hello", thread_id=thread)) as response:
        heard = frames((await response.read()).decode())
    assert {name for name, _ in heard} == {
        *("metadata", "response.status", "response.text.delta", "response.text", "response")
    }
    assert heard[-1][1]["content"] == [{"type": "text", "text": "made"}]
    (file,) = await stage.service.pool.fetch("select size, ready from files")
    assert tuple(file) == (len(MADE), True)


async def test_openai_streams_the_same_events_as_ever(stage: Stage) -> None:
    async with sdk(stage.client, max_retries=0) as made:
        threads: Any = made.beta.threads
        thread = (await threads.create(messages=[{"role": "user", "content": "hello"}])).id
        async with threads.runs.stream(thread_id=thread, assistant_id=stage.client.agent) as stream:
            names = [event.event async for event in stream]
    assert names[-2:] == ["thread.message.completed", "thread.run.completed"]
    assert not [name for name in names if "file" in name]
