"""A client of Cortex as it is published, against the real service: `snowflake-cortex-agents`."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from cortex_agents import AsyncCortexAgent
from cortex_agents.base import SnowflakeAPIError

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_agents import PLACE, SNOWFLAKE, blocking
from tests.contract.cortex_client import RUN, Cortex, asking

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own


@pytest.fixture(params=["documented", "live"])
async def stage(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with running_stage(settings.model_copy(update={"cortex_shapes": request.param})) as stage:
        await stage.become("worker.runners.demo:echo")
        await stage.service.pool.execute("update agents set name = 'echo' where id = $1", stage.client.agent)
        yield stage


async def test_the_five_calls_on_threads(stage: Stage) -> None:
    def use(agent: Any) -> None:
        thread = agent.create_thread(origin_app="my_app")["thread_id"]
        assert int(thread) >= 1_000_000_000
        assert agent.update_thread(thread, "Sales")["status"] == f"Thread {thread} successfully updated."
        listed = agent.list_threads(origin_app="my_app")
        assert [(str(one["thread_id"]), one["thread_name"]) for one in listed] == [(str(thread), "Sales")]
        assert agent.get_thread(thread)["messages"] == []
        assert agent.delete_thread(thread) == {"success": True}
        with pytest.raises(SnowflakeAPIError) as gone:
            agent.get_thread(thread)
        assert gone.value.status_code == 404

    await blocking(stage, use)


async def test_a_conversation_goes_on_from_the_message_that_the_client_found(stage: Stage) -> None:
    def use(agent: Any) -> Any:
        thread = agent.create_thread()["thread_id"]
        first = agent.run("Hello there", thread_id=thread, parent_message_id=0, **PLACE)
        assert (first.text, first.run_id is not None) == ("Hello there", True)
        assert "".join(event["data"]["text"] for event in first if event["type"] == "text.delta") == "Hello there"
        second = agent.run("And then?", thread_id=thread, parent_message_id=first.message_id, **PLACE)
        assert second.text == "And then?"
        assert second.request_id
        page = agent.get_thread(thread, limit=3)["messages"]
        assert [one["message_id"] for one in page[:1]] == [second.message_id]
        assert page[1]["parent_id"] == first.message_id
        older = agent.get_thread(thread, last_message_id=page[-1]["message_id"])["messages"]
        assert [one["parent_id"] for one in older] == [None]
        return len(page) + len(older)

    assert await blocking(stage, use) == 4


async def test_the_client_that_does_not_block_and_one_without_a_stream(stage: Stage) -> None:
    async with AsyncCortexAgent(SNOWFLAKE, stage.client.token, enable_logging=False) as agent:
        agent.account_url = stage.client.url
        thread = (await agent.create_thread())["thread_id"]
        told = await agent.run("Hello", thread_id=thread, parent_message_id=0, **PLACE)
        said = [event async for event in told.astream()]
        assert said[-1]["raw_type"] == "response"
        assert told.text == "Hello"
    whole = await blocking(stage, partial(_whole, thread=thread, parent=told.message_id))
    assert [part["text"] for part in whole["content"]] == ["Once more"]


def _whole(agent: Any, thread: Any, parent: int | str | None) -> Any:
    asked = agent.run("Once more", thread_id=thread, parent_message_id=parent, stream=False, **PLACE)
    return asked.get_final_response()


async def test_what_fails_is_the_clients_own_error(stage: Stage) -> None:
    def use(agent: Any) -> None:
        thread = agent.create_thread()["thread_id"]
        with pytest.raises(SnowflakeAPIError) as unknown:
            agent.run("Hello", **PLACE | {"agent_name": "nobody"}, stream=False)
        assert unknown.value.status_code == 404
        failed = agent.run("/fail", thread_id=thread, parent_message_id=0, **PLACE)
        assert [event["type"] for event in failed][-1] == "error"

    await blocking(stage, use)


async def test_langchains_place_for_the_thread_is_the_query(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    heard = await cortex.stream(asking("Hello"), f"{RUN}?thread_id={thread}")
    assert heard[0][1]["thread_id"] == thread
    refused = await cortex.call("POST", f"{RUN}?thread_id=none", asking("Hello"))
    assert refused.status == 400
    assert "thread_id" in refused.json["message"]
