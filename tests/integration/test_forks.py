"""Which messages a runner is told of where a thread has forks: those that lead up to the message it goes on from."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared import ids
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_client import THREADS, Cortex, texts
from tests.contract.openai_client import call
from tests.service import message
from worker.execute import briefing

ROLES = ("user", "assistant")


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings, "tests.odd_runners:recalls") as stage:
        yield stage


async def asked(cortex: Cortex, thread: int, parent: int | None, text: str) -> tuple[str, int]:
    """What the runner was told before this message, and the number of its answer."""
    answer = await cortex.ask(text, thread_id=thread, parent_message_id=parent)
    return "".join(texts(answer)), answer["metadata"]["assistant_message_id"]


async def test_a_fork_is_told_only_what_leads_up_to_it(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    first = await asked(cortex, thread, 0, "one")
    second = await asked(cortex, thread, first[1], "two")
    fork = await asked(cortex, thread, first[1], "other")
    assert [first[0], second[0], fork[0]] == ["[]", "[user:one|assistant:[]]", "[user:one|assistant:[]]"]
    told, _ = await asked(cortex, thread, fork[1], "on")
    assert told == f"[user:one|assistant:[]|user:other|assistant:{fork[0]}]"
    told, _ = await asked(cortex, thread, second[1], "back")
    assert told == f"[user:one|assistant:[]|user:two|assistant:{second[0]}]"
    assert (await asked(cortex, thread, 0, "anew"))[0] == "[]"


async def test_a_thread_without_forks_is_told_its_latest_messages(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    first, _ = await asked(cortex, thread, None, "one")
    second, _ = await asked(cortex, thread, None, "two")
    assert (first, second) == ("[]", "[user:one|assistant:[]]")
    told, _ = await asked(cortex, thread, None, "three")
    assert told == f"[user:one|assistant:[]|user:two|assistant:{second}]"


async def test_where_a_message_of_the_chain_was_removed_the_one_before_it_stands_for_it(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    _, first = await asked(cortex, thread, 0, "one")
    told, second = await asked(cortex, thread, first, "two")
    await stage.service.pool.execute("delete from messages where num = $1", first)
    assert (await asked(cortex, thread, second, "three"))[0] == f"[user:one|user:two|assistant:{told}]"


async def test_a_parent_that_comes_after_its_child_does_not_make_the_chain_endless(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    _, first = await asked(cortex, thread, 0, "one")
    await stage.service.pool.execute("update messages set parent = num + 7 where role = 'user'")
    assert (await asked(cortex, thread, first, "two"))[0] == "[user:one|assistant:[]]"


async def written(stage: Stage, texts: list[str], answered: bool) -> int:
    """Messages of both roles in turn, in the only thread; the number of the last one."""
    row = await stage.service.pool.fetchrow("select partition, thread from thread_numbers")
    assert row is not None
    run = ids.mint() if answered else None
    parts = [json.dumps([{"type": "text", "text": text}]) for text in texts]
    said = [(*row, ids.mint(), ROLES[n % 2], part, run) for n, part in enumerate(parts)]
    await stage.service.pool.executemany(
        "insert into messages (partition, thread, id, role, parts, run, created_at)"
        " values ($1, $2, $3, $4, $5, $6, now())",
        said,
    )
    last: int = await stage.service.pool.fetchval("select max(num) from messages")
    return last


async def test_a_long_chain_is_told_by_its_latest_messages(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    last = await written(stage, [f"m{n}" for n in range(400)], answered=True)
    told, _ = await asked(cortex, thread, last, "next")
    assert told == f"[{'|'.join(f'{ROLES[n % 2]}:m{n}' for n in range(300, 400))}]"


async def test_what_waits_for_a_run_is_told_where_it_leads_up_to_one_and_not_answered_by_it(stage: Stage) -> None:
    """A message of another dialect, which no run has answered yet."""
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    last = await written(stage, ["waits", "aside"], answered=False)
    assert (await asked(cortex, thread, last, "next"))[0] == "[user:waits|assistant:aside]"
    assert (await asked(cortex, thread, 0, "anew"))[0] == "[]"
    waits = (await cortex.describe(thread))["messages"][-1]
    assert (waits["message_payload"], waits["request_id"]) == ("waits", "")


async def test_without_a_parent_a_run_goes_on_from_the_latest_message_of_its_branch(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    _, first = await asked(cortex, thread, 0, "one")
    await asked(cortex, thread, first, "two")
    other, fork = await asked(cortex, thread, first, "other")
    told, _ = await asked(cortex, thread, None, "on")
    assert told == f"[user:one|assistant:[]|user:other|assistant:{other}]"
    newest = (await cortex.describe(thread))["messages"]
    assert newest[1]["parent_id"] == fork


async def test_an_answer_follows_its_question_whatever_was_said_meanwhile(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    await stage.client.new_thread()
    thread = (await cortex.call("GET", THREADS)).json[0]["thread_id"]
    native = str(await stage.service.pool.fetchval("select id from threads"))
    outcome = await stage.send(native, message("one"), message("two"))
    await stage.until(native, outcome["events"][1]["run"]["id"])
    answers = {one["parent_id"]: one for one in await said(cortex, thread, "assistant")}
    one, two = await said(cortex, thread, "user")
    told, _ = await asked(cortex, thread, answers[one["message_id"]]["message_id"], "fork")
    assert told == f"[user:one|assistant:{answers[one['message_id']]['message_payload']}]"
    assert two["message_id"] in answers


async def test_a_removed_message_leaves_what_followed_it_on_its_branch(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    _, first = await asked(cortex, thread, 0, "one")
    await asked(cortex, thread, first, "two")
    other, fork = await asked(cortex, thread, first, "other")
    question = (await said(cortex, thread, "user"))[2]
    await remove(stage, question["message_id"])
    told, _ = await asked(cortex, thread, fork, "on")
    assert told == f"[user:one|assistant:[]|assistant:{other}]"
    await remove(stage, first)
    parents = {one["message_id"]: one["parent_id"] for one in (await cortex.describe(thread))["messages"]}
    assert parents[fork] == (await said(cortex, thread, "user"))[0]["message_id"]


async def test_a_conversation_that_was_brought_along_is_told_in_its_order(stage: Stage) -> None:
    """Made elsewhere, and added to a new thread: the run answers what comes behind the assistant's last message."""
    turns = [("user", "my name is Bob"), ("assistant", "Hello Bob"), ("user", "what is my name?")]
    told = "user:my name is Bob|assistant:Hello Bob"
    assert await answer(stage, turns) == f"[{told}]"
    assert await answer(stage, turns[:2]) == f"[{told}]"
    assert await answer(stage, turns[1:2]) == "[assistant:Hello Bob]"


async def answer(stage: Stage, turns: list[tuple[str, str]]) -> str:
    """What the runner was told before its new messages, of a thread of these."""
    body = {"messages": [{"role": role, "content": text} for role, text in turns]}
    thread = (await call(stage.client, "POST", "/v1/threads", body)).json["id"]
    asked = {"assistant_id": stage.client.agent}
    run = (await call(stage.client, "POST", f"/v1/threads/{thread}/runs", asked)).json["id"]
    await stage.until(thread, run)
    return await stage.text(run)


async def test_what_a_runner_is_told_is_bounded_by_bytes_from_the_latest_message_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert briefing._SIZE == 4 << 20
    monkeypatch.setattr(briefing, "_SIZE", 5_000)
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    last = await written(stage, ["x" * 1_000] * 10, answered=False)
    chain, _ = await asked(cortex, thread, last, "chain")
    assert chain.count("|") == 4
    native = str(await stage.service.pool.fetchval("select id from threads"))
    run = await stage.say(native, "flat")
    await stage.until(native, run)
    assert await stage.text(run) == f"[assistant:{chain}]"


async def test_without_forks_nothing_is_lost_that_other_dialects_said(stage: Stage) -> None:
    """Messages that waited have lower numbers than the answers they waited for."""
    cortex = Cortex(stage.client)
    native = await stage.client.new_thread()
    outcome = await stage.send(native, message("one"), message("two"))
    await stage.until(native, outcome["events"][1]["run"]["id"])
    thread = (await cortex.call("GET", THREADS)).json[0]["thread_id"]
    told, last = await asked(cortex, thread, None, "three")
    one, two = "[]", "[user:one|assistant:[]]"
    assert told == f"[user:one|assistant:{one}|user:two|assistant:{two}]"
    again, _ = await asked(cortex, thread, last, "four")
    assert again == f"{told[:-1]}|user:three|assistant:{told}]"


async def test_a_message_that_was_offered_to_a_run_is_told_where_that_is(stage: Stage) -> None:
    await stage.become("steered")
    thread, run = await stage.start("begin")
    await stage.until(thread, run, "running")
    await stage.said(run, "ready")
    for text in ("turn left", "stop"):
        await stage.say(thread, text, on_busy="steer")
    await stage.until(thread, run)
    await stage.become("recalls")
    cortex = Cortex(stage.client)
    num = (await cortex.call("GET", THREADS)).json[0]["thread_id"]
    told, _ = await asked(cortex, num, None, "and now?")
    assert [told.count(f"user:{text}") for text in ("begin", "turn left", "stop")] == [1, 1, 1]


async def said(cortex: Cortex, thread: int, role: str) -> list[dict[str, Any]]:
    """The messages of one side, oldest first."""
    return [one for one in (await cortex.describe(thread))["messages"][::-1] if one["role"] == role]


async def remove(stage: Stage, num: int) -> None:
    """Takes a message away, as OpenAI's clients can."""
    row = await stage.service.pool.fetchrow("select thread, id from messages where num = $1", num)
    assert row is not None
    reply = await call(stage.client, "DELETE", f"/v1/threads/{row['thread']}/messages/{row['id']}")
    assert reply.status == 200, reply
