"""What agent:run answers of runs without an answer, of threads that are gone, at a replay, and of very long ones."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from cortex_agents.base import SnowflakeAPIError

from shared import answers
from shared.ids import RunId, ThreadId, Ulid
from shared.models import RunStatus
from shared.settings import Settings
from tests.agents import Stage, partition, running_stage
from tests.contract.cortex_agents import PLACE, blocking
from tests.contract.cortex_client import RUN, THREADS, Cortex, asking, deciding, frames, texts
from tests.plans import rows_read

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

THREAD_ID = "x-threadmill-thread-id"


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        await stage.service.pool.execute("update agents set name = 'echo' where id = $1", stage.client.agent)
        yield stage


@pytest.fixture
async def cortex(stage: Stage) -> Cortex:
    return Cortex(stage.client)


async def native(stage: Stage) -> str:
    return str(await stage.service.pool.fetchval("select id from threads"))


async def test_a_client_that_repeats_server_errors_makes_one_run_of_one_that_fails(stage: Stage) -> None:
    def use(agent: Any) -> None:
        thread = agent.create_thread()["thread_id"]
        with pytest.raises(SnowflakeAPIError) as failed:
            agent.run("/fail", thread_id=thread, parent_message_id=0, stream=False, **PLACE)
        assert failed.value.status_code == 409

    await blocking(stage, use)
    assert await stage.service.pool.fetchval("select count(*) from runs") == 1
    assert await stage.service.pool.fetchval("select count(*) from messages where role = 'user'") == 1


async def test_a_run_that_expires_is_told_alike_with_a_stream_and_without(stage: Stage, cortex: Cortex) -> None:
    await stage.become("hangs", run_timeout=1)
    whole = await cortex.call("POST", RUN, asking("hello", stream=False), X_Request_Id="same")
    last = (await cortex.stream(asking("hello"), X_Request_Id="same"))[-1]
    assert (whole.status, last) == (409, ("error", whole.json))
    assert (whole.json["code"], whole.json["error_code"]) == ("399409", "run.expired")


async def test_a_thread_that_is_deleted_meanwhile_is_gone_for_who_waits(stage: Stage, cortex: Cortex) -> None:
    await stage.become("hangs")
    thread = await cortex.new()
    key = {"Idempotency_Key": "k"}
    async with cortex.streaming(asking("first", thread_id=thread), **key) as response:
        while await response.content.readline() != b"event: response.text.delta\n":
            pass
        assert (await cortex.call("DELETE", f"{THREADS}/{thread}")).status == 200
        last = frames("event: response.text.delta\n" + (await response.read()).decode())[-1]
    assert (last[0], last[1]["code"], last[1]["error_code"]) == ("error", "399404", "not_found")
    again = await cortex.call("POST", RUN, asking("first", thread_id=thread), **key)
    assert (again.status, again.json["message"]) == (404, "There is no such thread.")


async def test_a_deleted_thread_is_refused_as_one_that_never_was(stage: Stage, cortex: Cortex) -> None:
    await stage.become("asks_two")
    thread = await cortex.new()
    (asked, *_), said = (await cortex.ask("go", thread_id=thread))["content"], asking("more")
    assert (await cortex.call("DELETE", f"{THREADS}/{thread}")).status == 200
    request = asked["tool_use"]["tool_use_id"]
    for fields in ({}, {"parent_message_id": 0}, {"parent_message_id": 7}, deciding(0, (request, "allow"))):
        replies = [
            await cortex.call("POST", RUN, {**said, **fields, "thread_id": number}, X_Request_Id="same")
            for number in (thread, thread + 1)
        ]
        assert [reply.status for reply in replies] == [404, 404]
        assert replies[0].body == replies[1].body
        assert replies[0].json["message"] == "There is no such thread."


@pytest.mark.parametrize("stream", [True, False])
async def test_a_replay_tells_what_the_run_has_come_to_since(stage: Stage, cortex: Cortex, stream: bool) -> None:
    await stage.become("asks_two")
    thread = await cortex.new()
    body = asking("go", thread_id=thread, stream=stream)

    async def asked() -> Any:
        reply = await cortex.call("POST", RUN, body, Idempotency_Key="k")
        assert reply.status == 200, reply
        return frames(reply.body.decode())[-1][1]["content"] if stream else reply.json["content"]

    a, b = [part["tool_use"]["tool_use_id"] for part in await asked()]
    await cortex.call("POST", RUN, deciding(thread, (a, "allow"), stream=False))
    assert [part["tool_use"]["tool_use_id"] for part in await asked()] == [b]
    third = (await cortex.call("POST", RUN, deciding(thread, (b, "allow"), stream=False))).json["content"]
    assert await asked() == third
    (c,) = [part["tool_use"]["tool_use_id"] for part in third]
    last = (await cortex.call("POST", RUN, deciding(thread, (c, "deny"), stream=False))).json["content"]
    assert await asked() == last
    assert (await cortex.call("DELETE", f"{THREADS}/{thread}")).status == 200
    gone = await cortex.call("POST", RUN, body, Idempotency_Key="k")
    assert (gone.status, gone.json["error_code"]) == (404, "not_found")


async def test_a_number_and_the_id_of_other_dialects_are_told_together(stage: Stage, cortex: Cortex) -> None:
    created = await cortex.call("POST", THREADS, {}, Idempotency_Key="k")
    id_ = await native(stage)
    again = await cortex.call("POST", THREADS, {}, Idempotency_Key="k")
    described = await cortex.call("GET", f"{THREADS}/{created.json}")
    whole = await cortex.call("POST", RUN, asking("hi", thread_id=created.json, stream=False))
    failed = await cortex.call("POST", RUN, asking("/fail", thread_id=created.json, stream=False))
    streamed = await cortex.call("POST", RUN, asking("hi", thread_id=created.json))
    for reply in (created, again, described, whole, failed, streamed):
        assert reply.headers[THREAD_ID] == id_, reply
    assert (await stage.client.call("GET", f"/threads/{id_}")).status == 200


async def test_an_answer_is_of_bounded_size(stage: Stage, cortex: Cortex, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.become("tools")
    thread = await cortex.new()
    body = asking("go", thread_id=thread, stream=False)

    async def told() -> list[str]:
        return texts((await cortex.call("POST", RUN, body, Idempotency_Key="k")).json)

    assert await told() == ["first", "second"]
    kept = await stage.service.pool.fetch(
        "select octet_length(parts::text) as size from messages where run is not null"
    )
    sizes = [row["size"] for row in kept if row["size"]]
    for size, expected in ((sum(sizes), ["first", "second"]), (max(sizes), ["second"]), (1, ["second"])):
        monkeypatch.setattr(answers, "_SIZE", size)
        assert await told() == expected
    heard = (await cortex.stream(asking("again", thread_id=thread)))[-1][1]
    assert texts(heard) == ["second"]


async def test_what_is_left_out_of_a_long_answer_is_not_read(stage: Stage, cortex: Cortex) -> None:
    """Of 300 messages of a bit more than a megabyte the newest seven, and the one that is too much."""
    answer = await cortex.ask("go", thread_id=await cortex.new())
    pool, thread, run = stage.service.pool, ThreadId(Ulid(await native(stage))), RunId(answer["metadata"]["run_id"])
    await pool.execute(
        "insert into messages (partition, thread, id, num, role, parts, run, created_at)"
        " select $1, $2, gen_random_uuid(), 2000000000 + n, 'assistant',"
        " jsonb_build_array(jsonb_build_object('type', 'text', 'text', n || repeat('x', 1 << 20))), $3, now()"
        " from generate_series(1, 300) n",
        *(partition(thread), thread, run),
    )
    since = await pool.fetchval("select min(accepted_at) from batches")
    found = await answers.answer(pool, partition(thread), thread, run, since)
    assert [one.num - 2_000_000_000 for one in found.said] == list(range(294, 301))
    statement = f"explain (analyze, format json) {answers.SQL['said'].rstrip(';')}"
    plan = await pool.fetchval(statement, partition(thread), thread, run, since, 1_000, 8 << 20)
    assert sum(rows_read(json.loads(plan)[0]["Plan"], "messages")) == 8


@dataclass
class Between:
    """A source that has something happen behind the first so many of its statements."""

    pool: asyncpg.Pool
    left: int
    then: Callable[[], Awaitable[object]]

    async def fetch(self, statement: str, /, *arguments: Any) -> Any:
        return await self._asked(await self.pool.fetch(statement, *arguments))

    async def fetchrow(self, statement: str, /, *arguments: Any) -> Any:
        return await self._asked(await self.pool.fetchrow(statement, *arguments))

    async def _asked(self, found: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            await self.then()
        return found


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("decision", "text"), [("allow_once", "hello"), ("reject_once", "I did not answer: rejected.")]
)
async def test_who_decides_while_a_question_is_read_has_the_run_followed_to_its_end(
    stage: Stage, cortex: Cortex, monkeypatch: pytest.MonkeyPatch, stream: bool, decision: str, text: str
) -> None:
    await stage.become("worker.runners.demo:approve")
    read = answers.answer

    async def after_a_decision(*asked: Any) -> Any:
        for request in (await stage.requests(await native(stage))).values():
            await stage.decide(await native(stage), request, decision)
        monkeypatch.setattr(answers, "answer", read)
        return await read(*asked)

    monkeypatch.setattr(answers, "answer", after_a_decision)
    reply = await cortex.call("POST", RUN, asking("hello", stream=stream))
    whole = frames(reply.body.decode())[-1][1] if stream else reply.json
    assert texts(whole) == ["I would like to answer. May I?", text]
    assert not [part for part in whole["content"] if part["type"] == "tool_use"]


@pytest.mark.parametrize("statements", [1, 2, 3])
async def test_who_interrupts_while_an_answer_is_read_has_no_question_told_as_an_answer(
    stage: Stage, cortex: Cortex, statements: int
) -> None:
    await stage.become("worker.runners.demo:approve")
    asks = await cortex.call("POST", RUN, asking("hello", stream=False))
    thread, run = ThreadId(Ulid(await native(stage))), RunId(asks.json["metadata"]["run_id"])
    pool = stage.service.pool
    since = await pool.fetchval("select min(accepted_at) from batches")
    source = Between(pool, statements, lambda: stage.client.send(thread, {"type": "user_interrupt"}))
    found = await answers.answer(source, partition(thread), thread, run, since)
    assert (found.status, found.requests) == (RunStatus.CANCELLED, ())
