"""agent:run on both of its paths: which agent, which thread, what is answered and what is refused."""

import pytest

from shared import agents
from tests.agents import Stage
from tests.contract.cortex_client import RUN, THREADS, Cortex, asking, first_words, frames, numbers, texts

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

ECHO = {"function": "worker.runners.demo:echo"}
NAMED = "/api/v2/databases/SALES/schemas/PUBLIC/agents/{}:run"


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
        made = await agents.create_agent(db, stage.client.account, "Zweiter: ü", "python", config=ECHO, published=True)
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
        second = await agents.create_agent(db, stage.client.account, "second", "python", config=ECHO, published=True)
        await agents.set_default_agent(db, second.id)
    await cortex.ask("hi")
    found = await stage.service.pool.fetch("select agent from threads order by id")
    assert [row["agent"] for row in found] == [stage.client.agent, second.id]
    assert first["metadata"]["thread_id"] == 1_000_000_000
    await stage.service.pool.execute("update agents set published = false")
    reply = await cortex.call("POST", RUN, asking("hi"))
    assert (reply.status, reply.json["error_code"]) == (409, "agent_not_published")
    assert texts(await cortex.ask("still open", thread_id=1_000_000_000)) == ["still open"]


async def test_an_account_without_agents_has_no_default_one(stage: Stage) -> None:
    stranger = Cortex(await stage.service.client("globex"))
    await stage.service.pool.execute("delete from agents where account = $1", stranger.client.account)
    assert (await stranger.call("POST", RUN, asking("hi"))).status == 404


async def test_a_busy_thread_refuses_and_stores_nothing(stage: Stage, cortex: Cortex) -> None:
    await stage.become("hangs")
    thread = await cortex.new()
    async with cortex.streaming(asking("first", thread_id=thread)) as response:
        await first_words(response)
        reply = await cortex.call("POST", RUN, asking("second", thread_id=thread))
        assert (reply.status, set(reply.json)) == (409, {"message", "code", "error_code", "request_id"})
        assert reply.json["code"] == "399409"
    assert [one["message_payload"] for one in (await cortex.describe(thread))["messages"]] == ["first"]


async def test_a_failure_is_told_in_the_stream_and_as_an_answer(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    heard = await cortex.stream(asking("/fail", thread_id=thread), X_Request_Id="mine-2")
    assert [name for name, _ in heard] == ["metadata", "response.status", "response.status", "error"]
    assert heard[-1][1] == {
        "message": "The text asked for it.",
        "code": "399409",
        "error_code": "demo.failed",
        "request_id": "mine-2",
    }
    reply = await cortex.call("POST", RUN, asking("/fail", thread_id=thread, stream=False), X_Request_Id="mine-2")
    assert (reply.status, reply.json) == (409, heard[-1][1])


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
