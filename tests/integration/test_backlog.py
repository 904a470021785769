"""The limit on what waits: over it batches are refused, and what was accepted before is still answered."""

import asyncio
import math

import pytest

from api import operator
from api.backlog import Backlog
from api.operator import Came, Operator
from api.postgres import Postgres
from api.submission import Applied, Idempotency, InFlight, Pending
from shared.audit import Actor, Via
from shared.errors import ServiceInactive
from shared.ids import ThreadId
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.settings import Settings
from tests.figures import figure
from tests.pipeline import Caller, message, new_caller, running_crew, running_inbox
from tests.proxy import wire_to
from tests.watch import until

KEY = Idempotency("once", "POST", b"d" * 32)


async def _send_until_refused(caller: Caller, thread: ThreadId) -> None:
    async with asyncio.timeout(10):
        while True:
            await caller.send(thread, wait=0)
            await asyncio.sleep(0.05)


async def test_over_the_limit_batches_are_refused_with_the_age_of_the_oldest(settings: Settings) -> None:
    limited = settings.model_copy(update={"backlog_limit": 2})
    async with running_inbox(limited) as inbox:
        caller = await new_caller(inbox)
        thread, first = await caller.create(wait=0)
        assert isinstance(first, Pending)
        keyed = caller.submission(thread, [message()], reply=False)._replace(idempotency=KEY)
        assert isinstance(await inbox.submit(keyed, 0), Pending)
        assert isinstance(await caller.send(thread, message(), wait=0), Pending)
        with pytest.raises(ServiceInactive, match=r"\d+ batches wait, 2 may, the oldest for \d+ s") as refused:
            await _send_until_refused(caller, thread)
        assert refused.value.retry_after == 5
        assert isinstance(await inbox.submit(keyed._replace(ref=caller.submission(thread, []).ref), 0), InFlight)

        async with running_crew(limited), asyncio.timeout(10):
            while True:
                try:
                    assert isinstance(await caller.send(thread, message()), Applied)
                    break
                except ServiceInactive:
                    await asyncio.sleep(0.05)
        again = await inbox.submit(keyed._replace(ref=caller.submission(thread, []).ref), 0)
        assert isinstance(again, Applied)
        assert again.replayed


async def test_over_the_limit_an_operator_still_ends_a_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = settings.model_copy(update={"backlog_limit": 0})
    async with running_inbox(limited) as inbox:
        caller, asked = await new_caller(inbox), message()
        async with running_crew(limited):
            thread, _ = await caller.create(asked)
        with pytest.raises(ServiceInactive):
            await _send_until_refused(caller, thread)
        monkeypatch.setattr(operator, "WAIT", 0.02)
        who = Operator(inbox, Postgres(inbox.pool))
        done = await who.interrupt(Actor("anna@host", Via.CLI), asked.run, thread)
        assert done.came is Came.LATER
        async with running_crew(limited):
            await until(lambda: inbox.pool.fetchval("select 1 from runs where status = 'cancelled'"))


async def test_a_backlog_is_not_known_while_redis_is_away_and_nothing_is_refused_for_it(settings: Settings) -> None:
    async with running_inbox(settings) as inbox, wire_to(settings.redis_url) as wire:
        caller = await new_caller(inbox)
        await caller.create(wait=0)
        queue = Queue(open_redis(wire.url, 0.2), Keys(settings.redis_prefix))
        backlog = Backlog(queue, settings.database_url, 0)
        async with asyncio.timeout(10):
            while not backlog.full:
                await backlog.look()
        assert figure("threadmill_backlog_batches") == 1
        wire.fall_silent(for_good=True)
        await backlog.look()
        assert not backlog.full
        assert math.isnan(figure("threadmill_backlog_batches"))
        await backlog.close()
        await queue.close()
