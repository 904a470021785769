"""agent:run on both of its paths: which agent, which thread, what comes and in which order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from api import follow
from shared import accounts
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_client import RUN, THREADS, Cortex, asking, deciding, frames, texts, told
from tests.odd_runners import RECITED
from tests.service import running_api, running_service
from tests.watch import until

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

ECHO = {"function": "worker.runners.demo:echo"}
NAMED = "/api/v2/databases/SALES/schemas/PUBLIC/agents/{}:run"


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
async def cortex(stage: Stage) -> Cortex:
    return Cortex(stage.client)


async def numbers(stage: Stage) -> list[int]:
    rows = await stage.service.pool.fetch("select num from messages order by num")
    return [row["num"] for row in rows]


async def test_a_stream_has_its_frames_in_their_order(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    async with cortex.streaming(asking("hello there", thread_id=thread), X_Request_Id="mine-1") as response:
        heard = frames((await response.read()).decode())
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["X-Request-Id"] == response.headers["X-Snowflake-Request-Id"] == "mine-1"
    question, answer = await numbers(stage)
    deltas = [data for name, data in heard if name == "response.text.delta"]
    assert [name for name, _ in heard if name != "response.text.delta"] == [
        *("metadata", "response.status", "response.status"),
        *("response.text", "metadata", "response"),
    ]
    names = [name for name, _ in heard]
    assert names[:3] == ["metadata", "response.status", "response.status"]
    assert heard[0][1] == told("user", thread, question)
    assert "".join(data["text"] for data in deltas) == "hello there"
    assert {data["content_index"] for data in deltas} == {0}
    assert heard[-3][1] == {"content_index": 0, "text": "hello there"}
    assert heard[-2][1] == told("assistant", thread, answer)
    run = await stage.service.pool.fetchval("select id from runs")
    assert heard[-1][1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "hello there"}],
        "metadata": {
            "run_id": run,
            "thread_id": thread,
            "user_message_id": question,
            "assistant_message_id": answer,
            "usage": {"input_tokens": 2, "output_tokens": 2, "total_tokens": 4},
        },
    }


async def test_without_a_stream_the_last_object_is_the_answer(stage: Stage, cortex: Cortex) -> None:
    await stage.become("tools")
    thread = await cortex.new()
    whole = await cortex.ask("one of each", thread_id=thread, parent_message_id=0)
    assert texts(whole) == ["first", "second"]
    assert whole["metadata"]["assistant_message_id"] == (await numbers(stage))[-1]
    heard = await cortex.stream(asking("again", thread_id=thread))
    assert [data for name, data in heard if name == "response.text"] == [
        {"content_index": 0, "text": "first"},
        {"content_index": 1, "text": "second"},
    ]
    assert [data["message"] for name, data in heard if name == "response.status"][2:] == ["search", "search"]
    assert texts(heard[-1][1]) == texts(whole)


async def test_the_agent_of_a_path_is_found_by_its_name(stage: Stage, cortex: Cortex) -> None:
    async with stage.service.pool.acquire() as db:
        made = await accounts.create_agent(
            db, stage.client.account, "Zweiter: ü", "python", config=ECHO, published=True
        )
    thread = await cortex.new()
    path = NAMED.format("Zweiter%3A%20%C3%BC")
    assert texts(await cortex.ask("hi", path, thread_id=thread)) == ["hi"]
    bound = await stage.service.pool.fetchval("select agent from threads")
    assert bound == made.id
    for name, status in (("echo", 400), ("nobody", 404), ("a%00b", 404), ("%FF", 404), ("x" * 300, 404)):
        reply = await cortex.call("POST", NAMED.format(name), asking("hi", thread_id=thread))
        assert (name, reply.status) == (name, status)
    # The path without a name goes on with the agent that the thread has.
    assert texts(await cortex.ask("on", thread_id=thread)) == ["on"]


async def test_the_path_without_a_name_means_the_default_agent(stage: Stage, cortex: Cortex) -> None:
    first = await cortex.ask("hi")
    async with stage.service.pool.acquire() as db:
        second = await accounts.create_agent(db, stage.client.account, "second", "python", config=ECHO, published=True)
        await accounts.set_default_agent(db, second.id)
    await cortex.ask("hi")
    agents = await stage.service.pool.fetch("select agent from threads order by id")
    assert [row["agent"] for row in agents] == [stage.client.agent, second.id]
    assert first["metadata"]["thread_id"] == 1_000_000_000
    await stage.service.pool.execute("update agents set published = false")
    reply = await cortex.call("POST", RUN, asking("hi"))
    assert (reply.status, reply.json["error_code"]) == (409, "agent_not_published")
    assert texts(await cortex.ask("still open", thread_id=1_000_000_000)) == ["still open"]


async def test_an_account_without_agents_has_no_default_one(stage: Stage) -> None:
    stranger = Cortex(await stage.service.client("globex"))
    await stage.service.pool.execute("delete from agents where account = $1", stranger.client.account)
    assert (await stranger.call("POST", RUN, asking("hi"))).status == 404


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


async def test_a_busy_thread_refuses_and_stores_nothing(stage: Stage, cortex: Cortex) -> None:
    await stage.become("hangs")
    thread = await cortex.new()
    async with cortex.streaming(asking("first", thread_id=thread)) as response:
        while await response.content.readline() != b"event: response.text.delta\n":
            pass
        reply = await cortex.call("POST", RUN, asking("second", thread_id=thread))
        assert (reply.status, set(reply.json)) == (409, {"message", "code", "error_code", "request_id"})
        assert reply.json["code"] == "399409"
    assert [one["message_payload"] for one in (await cortex.describe(thread))["messages"]] == ["first"]


async def test_a_client_that_goes_away_does_not_stop_the_run(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    for stream in (True, False):
        body = asking("/slow 1 done", thread_id=thread, stream=stream)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.7):
                await cortex.call("POST", RUN, body)

        async def over() -> bool:
            rows = await stage.service.pool.fetch("select status from runs")
            return all(row["status"] == "completed" for row in rows)

        await until(over)
    said = [one["message_payload"] for one in (await cortex.describe(thread))["messages"] if one["role"] != "user"]
    assert [text.endswith("done") for text in said] == [True, True]


async def test_a_failure_is_told_in_the_stream_and_as_an_answer(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    heard = await cortex.stream(asking("/fail", thread_id=thread), X_Request_Id="mine-2")
    assert [name for name, _ in heard] == ["metadata", "response.status", "response.status", "error"]
    assert heard[-1][1] == {
        "message": "The text asked for it.",
        "code": "399500",
        "error_code": "demo.failed",
        "request_id": "mine-2",
    }
    reply = await cortex.call("POST", RUN, asking("/fail", thread_id=thread, stream=False), X_Request_Id="mine-2")
    assert (reply.status, reply.json) == (500, heard[-1][1])


async def test_a_cancelled_run_ends_its_answer(stage: Stage, cortex: Cortex) -> None:
    await stage.become("hangs")
    thread = await cortex.new()
    native = await stage.service.pool.fetchval("select id from threads")
    async with cortex.streaming(asking("first", thread_id=thread)) as response:
        while await response.content.readline() != b"event: response.text.delta\n":
            pass
        await stage.interrupt(native)
        heard = frames("event: response.text.delta\n" + (await response.read()).decode())
    assert (heard[-1][0], heard[-1][1]["code"]) == ("error", "399409")


async def test_a_deleted_thread_ends_its_answer(stage: Stage, cortex: Cortex) -> None:
    await stage.become("hangs")
    thread = await cortex.new()
    async with cortex.streaming(asking("first", thread_id=thread)) as response:
        while await response.content.readline() != b"event: response.text.delta\n":
            pass
        assert (await cortex.call("DELETE", f"{THREADS}/{thread}")).status == 200
        heard = frames("event: response.text.delta\n" + (await response.read()).decode())
    assert heard[-1][0] == "error"
    assert heard[-1][1]["code"] in ("399404", "399409")


def opened(answer: dict[str, Any]) -> list[str]:
    return [part["tool_use"]["tool_use_id"] for part in answer["content"] if part["type"] == "tool_use"]


async def test_a_permission_is_asked_for_and_decided(stage: Stage, cortex: Cortex) -> None:
    await stage.become("asks_two")
    thread = await cortex.new()
    heard = await cortex.stream(asking("go", thread_id=thread))
    assert heard[-1][0] == "response"
    first, _ = heard[-1][1]["content"]
    assert first["tool_use"] | {"name": "t", "input": {"title": "First?", "input": {"n": 1}}} == first["tool_use"]
    assert heard[-1][1]["metadata"]["assistant_message_id"] is None
    a, b = opened(heard[-1][1])
    busy = await cortex.call("POST", RUN, asking("no", thread_id=thread))
    assert busy.status == 409
    half = await cortex.call("POST", RUN, deciding(thread, (a, "allow"), stream=False))
    assert opened(half.json) == [b]
    third = await cortex.call("POST", RUN, deciding(thread, (b, "deny"), stream=False))
    (c,) = opened(third.json)
    last = await cortex.stream(deciding(thread, (c, "allow_once")))
    assert texts(last[-1][1]) == ["a=allowed b=rejected c=allowed note=None attempt=1"]
    assert [name for name, _ in last][-3:] == ["response.text", "metadata", "response"]
    again = await cortex.call("POST", RUN, deciding(thread, (c, "allow")))
    assert (again.status, again.json["error_code"]) == (409, "readiness_blocked")


async def test_a_decision_that_can_not_be_is_refused(stage: Stage, cortex: Cortex) -> None:
    await stage.become("asks_two")
    thread, other = await cortex.new(), await cortex.new()
    a, _ = opened(await cortex.ask("go", thread_id=thread))
    for body, status in (
        (deciding(thread, ("unknown", "allow")), 404),
        (deciding(other, (a, "allow")), 404),
        (deciding(thread, (a, "perhaps")), 400),
        (deciding(thread, (a, "")), 400),
        ({**deciding(thread, (a, "allow")), "thread_id": None}, 400),
        (deciding(thread, ("", "allow")), 400),
        (deciding(thread, ("x" * 256, "allow")), 400),
    ):
        reply = await cortex.call("POST", RUN, body)
        assert (body, reply.status) == (body, status)
    mixed = deciding(thread, (a, "allow"))
    mixed["messages"][0]["content"].append({"type": "text", "text": "and more"})
    assert (await cortex.call("POST", RUN, mixed)).status == 400
    states = await stage.service.pool.fetch("select distinct state from permission_requests")
    assert [row["state"] for row in states] == ["pending"]


@pytest.mark.parametrize("said", ["allow", ' {"decision": "allow", "note": "go on"} '])
async def test_a_decision_may_be_said_as_text(stage: Stage, cortex: Cortex, said: str) -> None:
    await stage.become("asks_two")
    thread = await cortex.new()
    a, b = opened(await cortex.ask("go", thread_id=thread))
    body = deciding(thread, (a, ""), (b, ""), stream=False)
    for part in body["messages"][0]["content"]:
        part["tool_result"]["content"] = [{"type": "text", "text": said}]
    reply = await cortex.call("POST", RUN, body)
    assert reply.status == 200, reply
    states = await stage.service.pool.fetch("select state, note from permission_requests order by id")
    note = "go on" if "note" in said else None
    assert [(row["state"], row["note"]) for row in states[:2]] == [("allowed", note)] * 2


async def test_a_key_gets_the_same_answer_and_no_second_run(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    body = asking("once", thread_id=thread, parent_message_id=0)
    first = await cortex.stream(body, Idempotency_Key="k")
    async with cortex.streaming(body, Idempotency_Key="k") as response:
        assert response.headers["Idempotency-Replayed"] == "true"
        again = frames((await response.read()).decode())
    assert again[-1] == first[-1]
    assert "".join(data["text"] for name, data in again if name == "response.text.delta") == "once"
    assert await stage.service.pool.fetchval("select count(*) from runs") == 1
    other = await cortex.call("POST", RUN, asking("other", thread_id=thread), Idempotency_Key="k")
    assert (other.status, other.json["error_code"]) == (409, "idempotency_conflict")
    alone = [await cortex.stream(asking("alone"), Idempotency_Key="new") for _ in range(2)]
    assert alone[0][-1] == alone[1][-1]


async def test_messages_follow_each_other_on_a_thread_that_goes_on(cortex: Cortex) -> None:
    thread = await cortex.new()
    parent = 0
    for n in range(4):
        answer = await cortex.ask(f"m{n}", thread_id=thread, parent_message_id=parent)
        parent = answer["metadata"]["assistant_message_id"]
    messages = (await cortex.describe(thread))["messages"]
    assert all(later["parent_id"] == earlier["message_id"] for later, earlier in pairwise(messages))


async def test_who_reads_late_gets_every_word_in_its_order(stage: Stage, cortex: Cortex) -> None:
    await stage.become("recites")
    async with cortex.streaming(asking("go"), path=RUN) as response:

        async def over() -> bool:
            return bool(await stage.service.pool.fetchval("select status = 'completed' from runs"))

        await until(over)
        heard = frames((await response.read()).decode())
    deltas = [data["text"] for name, data in heard if name == "response.text.delta"]
    whole = "".join(f"{n} " for n in range(RECITED))
    assert "".join(deltas) == whole
    assert texts(heard[-1][1]) == [whole]


async def test_a_thread_is_the_same_in_the_native_dialect(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new(origin_application="my_app")
    native = await stage.service.pool.fetchval("select id from threads")
    path = f"/threads/{native}"
    made = (await stage.client.call("GET", path)).json["thread"]
    assert (made["agent_id"], made["title"], made["status"]) == (None, None, "IDLE")
    answer = await cortex.ask("hello", thread_id=thread)
    found = (await stage.client.call("GET", path)).json
    assert (found["thread"]["agent_id"], found["thread"]["title"]) == (stage.client.agent, "hello")
    assert (found["run"]["id"], found["run"]["status"]) == (answer["metadata"]["run_id"], "completed")
    assert (await stage.client.call("POST", f"{path}/archive")).status == 200
    for reply in (
        await cortex.call("POST", RUN, asking("more", thread_id=thread)),
        await cortex.call("POST", f"{THREADS}/{thread}", {"thread_name": "closed"}),
    ):
        assert (reply.status, reply.json["error_code"]) == (409, "readiness_blocked")
    assert len((await cortex.describe(thread))["messages"]) == 2
    assert (await stage.client.call("DELETE", path)).status == 200
    assert (await cortex.call("GET", f"{THREADS}/{thread}")).status == 404


async def test_what_is_not_applied_in_time_is_told_as_such(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        cortex = Cortex(await service.client("acme"))
        thread = int((await cortex.call("POST", THREADS, {}, Prefer="wait=0")).json)
        reply = await cortex.call("POST", RUN, asking("hi", thread_id=thread), Prefer="wait=0")
        assert (reply.status, reply.json["code"]) == (503, "399503")
        for call in (("POST", {"thread_name": "later"}), ("DELETE", None)):
            assert (await cortex.call(call[0], f"{THREADS}/{thread}", call[1], Prefer="wait=0")).status == 200
        assert await service.pool.fetchval("select count(*) from batches") == 4


async def test_a_process_that_ends_says_so_and_the_run_goes_on(stage: Stage) -> None:
    count = partial(stage.service.pool.fetchval, "select count(*) = 2 from runs where status = $1")
    async with AsyncExitStack() as clients:
        async with running_api(stage.service.settings) as url:
            cortex = Cortex(replace(stage.client, url=url))
            whole = asyncio.create_task(cortex.call("POST", RUN, asking("/slow 2 whole", stream=False)))
            response = await clients.enter_async_context(cortex.streaming(asking("/slow 2 streamed")))
            while await response.content.readline() != b"event: response.text.delta\n":
                pass
            await until(partial(count, "running"))
        heard = frames("event: response.text.delta\n" + (await response.read()).decode())
    assert (heard[-1][0], heard[-1][1]["code"]) == ("error", "399503")
    assert (await whole).json["error_code"] == "service_inactive"
    await until(partial(count, "completed"))


async def test_a_revoked_token_ends_its_answer(stage: Stage, cortex: Cortex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "TOKENS", 0.1)
    monkeypatch.setattr(follow, "INTERVAL", 0.1)
    await stage.become("hangs")
    async with cortex.streaming(asking("first")) as response:
        while await response.content.readline() != b"event: response.text.delta\n":
            pass
        async with stage.service.pool.acquire() as db:
            await accounts.revoke_token(db, stage.client.token_id)
        heard = frames("event: response.text.delta\n" + (await response.read()).decode())
    assert (heard[-1][0], heard[-1][1]["code"]) == ("error", "399401")
