"""What is accepted and not applied yet: agent:run goes on waiting, changes say that they are not done."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import aiohttp
import pytest

from api.handlers import cortex_asking
from api.outcomes import Waiter
from shared.settings import Settings
from tests.agents import Stage
from tests.contract.cortex_client import RUN, THREADS, Cortex, asking, frames, texts
from tests.pipeline import running_crew
from tests.service import running_api, running_service
from tests.watch import until

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service of its own, and some with a worker

COMMENT = b": still here\n"


@dataclass(slots=True)
class Closed:
    """A service that accepts, and whose worker has not come yet."""

    stage: Stage
    workers: AsyncExitStack

    @property
    def cortex(self) -> Cortex:
        return Cortex(self.stage.client)

    async def open(self) -> None:
        await self.workers.enter_async_context(running_crew(self.stage.service.settings, "all"))

    async def accepted(self, count: int) -> None:
        await until(partial(self.stage.service.pool.fetchval, "select count(*) = $1 from batches", count))


@pytest.fixture
async def closed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Closed]:
    monkeypatch.setattr(cortex_asking, "STEP", 0.2)
    quick = settings.model_copy(update={"wait_default": 0.0, "wait_limit": 0.2})
    async with running_service(quick, worker=False) as service, AsyncExitStack() as workers:
        stage = Stage(service, await service.client("acme"))
        await stage.become("worker.runners.demo:echo")
        yield Closed(stage, workers)


async def heard(response: aiohttp.ClientResponse) -> bytes:
    """All that comes up to the first comment."""
    told = b""
    while not told.endswith(COMMENT):
        told += await response.content.readline()
    return told


async def test_a_stream_opens_at_once_and_goes_on_when_its_outcome_is_there(closed: Closed) -> None:
    thread = await closed.cortex.new()
    async with closed.cortex.streaming(asking("hello", thread_id=thread)) as response:
        told = await heard(response)
        assert [(name, data["status"]) for name, data in frames(told.decode())] == [("response.status", "queued")]
        await closed.open()
        rest = frames((await response.read()).decode())
    assert [name for name, _ in rest if name != "response.text.delta"] == [
        *("metadata", "response.status", "response.text", "metadata", "response"),
    ]
    assert (rest[0][1]["role"], rest[1][1]["status"]) == ("user", "running")
    assert texts(rest[-1][1]) == ["hello"]


async def test_without_a_stream_the_answer_is_waited_for(closed: Closed) -> None:
    thread = await closed.cortex.new()
    asked = asyncio.create_task(closed.cortex.ask("hello", thread_id=thread))
    await closed.accepted(2)
    await closed.open()
    assert texts(await asked) == ["hello"]


async def test_an_outcome_is_found_without_redis(closed: Closed) -> None:
    nobody = closed.stage.service.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with running_api(nobody) as url:
        cortex = Cortex(replace(closed.stage.client, url=url))
        async with cortex.streaming(asking("hello")) as response:
            await heard(response)
            await closed.open()
            rest = frames((await response.read()).decode())
    assert texts(rest[-1][1]) == ["hello"]


async def test_a_refusal_that_comes_late_is_an_answer_of_its_own(closed: Closed) -> None:
    await closed.stage.become("hangs")
    thread = await closed.cortex.new()
    async with closed.cortex.streaming(asking("first", thread_id=thread)) as first:
        await heard(first)
        async with closed.cortex.streaming(asking("second", thread_id=thread)) as second:
            await heard(second)
            third = asyncio.create_task(
                closed.cortex.call("POST", RUN, asking("third", thread_id=thread, stream=False))
            )
            await closed.accepted(4)
            await closed.open()
            (last,) = frames((await second.read()).decode())
            assert (last[0], last[1]["code"], last[1]["error_code"]) == ("error", "399409", "readiness_blocked")
            reply = await third
            assert (reply.status, reply.json["error_code"]) == (409, "readiness_blocked")


async def test_prefer_does_not_shorten_a_run(closed: Closed) -> None:
    await closed.open()
    for prefer in ("respond-async", "wait=0"):
        reply = await closed.cortex.call("POST", RUN, asking(prefer, stream=False), Prefer=prefer)
        assert (reply.status, texts(reply.json)) == (200, [prefer])


async def test_a_wait_ends_with_its_client(closed: Closed) -> None:
    def waits() -> bool:
        return any(isinstance(one, Waiter) for one in gc.get_objects())

    async def nobody_waits() -> bool:
        return not waits()

    for stream in (True, False):
        asked = asyncio.create_task(closed.cortex.call("POST", RUN, asking("hello", stream=stream)))
        await closed.accepted(1 if stream else 2)
        assert waits()
        asked.cancel()
        await until(nobody_waits)


async def test_a_process_that_ends_says_so_to_who_waits(closed: Closed) -> None:
    async with AsyncExitStack() as clients:
        async with running_api(closed.stage.service.settings) as url:
            cortex = Cortex(replace(closed.stage.client, url=url))
            whole = asyncio.create_task(cortex.call("POST", RUN, asking("whole", stream=False)))
            response = await clients.enter_async_context(cortex.streaming(asking("streamed")))
            await heard(response)
            await closed.accepted(2)
        (last,) = frames((await response.read()).decode())
    assert (last[0], last[1]["code"]) == ("error", "399503")
    assert (await whole).json["error_code"] == "service_inactive"


async def test_who_waits_behind_a_dead_letter_is_told(closed: Closed) -> None:
    thread = await closed.cortex.new()
    asked = asyncio.create_task(closed.cortex.call("POST", RUN, asking("hello", thread_id=thread, stream=False)))
    await closed.accepted(2)
    await closed.stage.service.pool.execute("update batches set blocked = true")
    reply = await asked
    assert (reply.status, reply.json["error_code"]) == (409, "readiness_blocked")
    assert "operator" in reply.json["message"]


async def test_a_change_that_is_not_applied_is_not_told_as_done(closed: Closed) -> None:
    thread = await closed.cortex.new()
    calls: tuple[tuple[str, Any], ...] = (("POST", {"thread_name": "later"}), ("DELETE", None))
    for prefer in ("wait=30", "respond-async"):
        for method, body in calls:
            reply = await closed.cortex.call(method, f"{THREADS}/{thread}", body, Prefer=prefer)
            assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "399503", "2")
    await closed.accepted(5)
    await closed.open()

    async def gone() -> bool:
        return (await closed.cortex.call("GET", f"{THREADS}/{thread}")).status == 404

    await until(gone)
