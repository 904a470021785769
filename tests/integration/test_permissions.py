"""Permissions: runs that ask, wait without a worker, and go on with what was decided."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.service import message
from tests.watch import until

GRACE = 5.0  # seconds, the contract's


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


async def test_the_time_of_a_run_is_that_of_all_its_calls_without_its_waits(stage: Stage) -> None:
    await stage.become("asks_slowly", run_timeout=2)
    thread, run = await stage.start()
    for _ in range(10):
        found = await stage.until(thread, run, "waiting_input", "expired")
        if found["status"] == "expired":
            break
        pending = await stage.service.pool.fetchval("select id from permission_requests where state = 'pending'")
        await asyncio.sleep(0.5)  # the user thinks: that does not count
        await stage.decide(thread, pending)
        await stage.until(thread, run, "running", "waiting_input", "expired")
    assert found["error"]["code"] == "run.expired"
    asked = await stage.service.pool.fetchval("select count(*) from permission_requests")
    assert asked == 2


async def test_several_permissions_are_decided_one_by_one_and_asked_for_again(stage: Stage) -> None:
    await stage.become("asks_two")
    thread, run = await stage.start()
    await stage.until(thread, run, "waiting_input")
    assert await stage.leases() == 0
    asked = await stage.requests(thread)
    await stage.decide(thread, asked["First?"], note="go on")
    assert (await stage.run(thread, run))["status"] == "waiting_input"
    await stage.decide(thread, asked["Second?"], "reject_once")

    async def third() -> str | None:
        return (await stage.requests(thread)).get("Third?")

    request = await until(third)
    assert request is not None
    answer = await stage.decide(thread, request)
    assert answer["warnings"] == []
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "a=allowed b=rejected c=allowed note=go on attempt=1"}


async def test_two_decisions_that_race_have_one_winner(stage: Stage) -> None:
    await stage.become("worker.runners.demo:approve")
    thread, run = await stage.start("please")
    await stage.until(thread, run, "waiting_input")
    (request,) = (await stage.requests(thread)).values()
    answers = await asyncio.gather(*(stage.decide(thread, request, word) for word in ["allow_once", "reject_once"] * 4))
    codes = [[warning["code"] for warning in answer["warnings"]] for answer in answers]
    assert sorted(codes) == [[], *[["permission_already_decided"]] * 7]
    winner = "allow_once" if codes.index([]) % 2 == 0 else "reject_once"
    done = await stage.until(thread, run, "completed")
    assert (done["finalOutput"]["text"] == "please") is (winner == "allow_once")


async def test_a_request_that_expires_is_no_rejection_and_the_run_goes_on(stage: Stage) -> None:
    await stage.become("asks_briefly")
    thread, run = await stage.start()
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "expired"}


async def test_a_request_that_expires_ends_the_run_where_its_agent_wants_that(stage: Stage) -> None:
    await stage.become("asks_briefly", on_expired="expire")
    thread, run = await stage.start()
    expired = await stage.until(thread, run, "expired")
    assert expired["error"]["code"] == "permission.expired"


async def test_a_message_on_a_waiting_thread_waits_behind_it_and_is_told_so(stage: Stage) -> None:
    await stage.become("worker.runners.demo:approve")
    thread, run = await stage.start("please")
    await stage.until(thread, run, "waiting_input")
    answer = await stage.send(thread, message("and then"))
    assert [(w["code"], w["runId"]) for w in answer["warnings"]] == [("queued_behind", run)]
    await stage.interrupt(thread)
    assert await stage.service.pool.fetchval("select state from permission_requests") == "superseded"
    await stage.until(thread, answer["events"][0]["run"]["id"], "waiting_input")
