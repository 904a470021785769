"""The stream of an agent:run: its frames in their order, and each way in which it ends."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import pytest

from api import follow
from shared import accounts
from tests.agents import Stage
from tests.contract.cortex_client import (
    RUN,
    THREADS,
    Cortex,
    asking,
    behind_first_words,
    first_words,
    frames,
    numbers,
    texts,
    told,
)
from tests.odd_runners import RECITED
from tests.service import running_api
from tests.watch import until

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own


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


async def test_a_cancelled_run_ends_its_answer(stage: Stage, cortex: Cortex) -> None:
    await stage.become("hangs")
    thread = await cortex.new()
    native = await stage.service.pool.fetchval("select id from threads")
    async with cortex.streaming(asking("first", thread_id=thread)) as response:
        await first_words(response)
        await stage.interrupt(native)
        heard = await behind_first_words(response)
    assert (heard[-1][0], heard[-1][1]["code"]) == ("error", "399409")


async def test_a_deleted_thread_ends_its_answer(stage: Stage, cortex: Cortex) -> None:
    await stage.become("hangs")
    thread = await cortex.new()
    async with cortex.streaming(asking("first", thread_id=thread)) as response:
        await first_words(response)
        assert (await cortex.call("DELETE", f"{THREADS}/{thread}")).status == 200
        heard = await behind_first_words(response)
    assert heard[-1][0] == "error"
    assert heard[-1][1]["code"] == "399404"


async def test_a_process_that_ends_says_so_and_the_run_goes_on(stage: Stage) -> None:
    count = partial(stage.service.pool.fetchval, "select count(*) = 2 from runs where status = $1")
    async with AsyncExitStack() as clients:
        async with running_api(stage.service.settings) as url:
            cortex = Cortex(replace(stage.client, url=url))
            whole = asyncio.create_task(cortex.call("POST", RUN, asking("/slow 2 whole", stream=False)))
            response = await clients.enter_async_context(cortex.streaming(asking("/slow 2 streamed")))
            await first_words(response)
            await until(partial(count, "running"))
        heard = await behind_first_words(response)
    assert (heard[-1][0], heard[-1][1]["code"]) == ("error", "399503")
    assert (await whole).json["error_code"] == "service_inactive"
    await until(partial(count, "completed"))


async def test_a_revoked_token_ends_its_answer(stage: Stage, cortex: Cortex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "TOKENS", 0.1)
    monkeypatch.setattr(follow, "INTERVAL", 0.1)
    await stage.become("hangs")
    async with cortex.streaming(asking("first")) as response:
        await first_words(response)
        async with stage.service.pool.acquire() as db:
            await accounts.revoke_token(db, stage.client.token_id)
        heard = await behind_first_words(response)
    assert (heard[-1][0], heard[-1][1]["code"]) == ("error", "399401")
