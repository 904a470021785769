"""Accepted, rung, applied, answered: the pipeline without HTTP, on real servers."""

import asyncio
import json

from api.submission import Applied, Pending
from shared.events import UserInterrupt
from shared.settings import Settings
from tests.pipeline import message, new_caller, running_crew, running_inbox


async def test_a_batch_is_accepted_rung_applied_and_answered(settings: Settings) -> None:
    async with running_inbox(settings) as inbox, running_crew(settings):
        caller = await new_caller(inbox)
        thread, created = await caller.create(message("Hello  there\n\nsecond"))
        assert isinstance(created, Applied)
        outcome = json.loads(created.outcome)
        assert outcome["thread"]["title"] == "Hello there"
        assert outcome["thread"]["status"] == "RUNNING"
        assert outcome["events"][0]["run"]["status"] == "queued"

        interrupted = await caller.send(thread, UserInterrupt())
        assert isinstance(interrupted, Applied)
        outcome = json.loads(interrupted.outcome)
        assert outcome["events"][0]["run"]["status"] == "cancelled"
        assert outcome["thread"]["status"] == "IDLE"


async def test_a_batch_that_nobody_waits_for_is_answered_with_its_thread(settings: Settings) -> None:
    async with running_inbox(settings) as inbox:
        caller = await new_caller(inbox)
        thread, created = await caller.create(message(), wait=0)
        assert isinstance(created, Pending)
        assert created.thread.id == thread


async def test_without_redis_the_sweep_applies_within_two_seconds(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with running_inbox(away) as inbox, running_crew(away):
        caller = await new_caller(inbox)
        async with asyncio.timeout(30):
            _, answer = await caller.create(message())
        assert isinstance(answer, Applied)
        assert json.loads(answer.outcome)["warnings"] == []
