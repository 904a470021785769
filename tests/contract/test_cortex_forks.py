"""What a message of Cortex follows: the one before it, the one it names, or none."""

from itertools import pairwise

import pytest

from tests.agents import Stage
from tests.contract.cortex_client import RUN, Cortex, asking

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own


async def test_without_a_thread_one_is_made(stage: Stage, cortex: Cortex) -> None:
    answer = await cortex.ask("hello")
    about = answer["metadata"]
    page = await cortex.describe(about["thread_id"])
    assert [one["message_id"] for one in page["messages"]] == [about["assistant_message_id"], about["user_message_id"]]
    assert [one["parent_id"] for one in page["messages"]] == [about["user_message_id"], None]


async def test_a_parent_is_root_or_what_the_assistant_said(cortex: Cortex) -> None:
    thread, other = await cortex.new(), await cortex.new()
    first = (await cortex.ask("one", thread_id=thread, parent_message_id=0))["metadata"]
    elsewhere = (await cortex.ask("two", thread_id=other))["metadata"]
    fork = await cortex.ask("three", thread_id=str(thread), parent_message_id=str(first["assistant_message_id"]))
    for parent, status in (
        (first["user_message_id"], 400),
        (elsewhere["assistant_message_id"], 404),
        (1, 404),
        (2**53 - 1, 404),
        ("9" * 19, 404),
        (-1, 400),
        ("1e3", 400),
        (True, 400),
        (1.5, 400),
    ):
        reply = await cortex.call("POST", RUN, asking("no", thread_id=thread, parent_message_id=parent))
        assert (parent, reply.status) == (parent, status), reply
    parents = {one["message_id"]: one["parent_id"] for one in (await cortex.describe(thread))["messages"]}
    assert parents == {
        first["user_message_id"]: None,
        first["assistant_message_id"]: first["user_message_id"],
        fork["metadata"]["user_message_id"]: first["assistant_message_id"],
        fork["metadata"]["assistant_message_id"]: fork["metadata"]["user_message_id"],
    }


async def test_messages_follow_each_other_on_a_thread_that_goes_on(cortex: Cortex) -> None:
    thread = await cortex.new()
    parent = 0
    for n in range(4):
        answer = await cortex.ask(f"m{n}", thread_id=thread, parent_message_id=parent)
        parent = answer["metadata"]["assistant_message_id"]
    messages = (await cortex.describe(thread))["messages"]
    assert all(later["parent_id"] == earlier["message_id"] for later, earlier in pairwise(messages))
