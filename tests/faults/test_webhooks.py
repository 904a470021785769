"""Webhooks outlive their workers: what a killed one was telling is told again, and no clock but Postgres' signs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
from standardwebhooks import Webhook

from shared import ids, webhooks
from shared.crashpoints import CRASHED
from shared.ids import AgentId, Ulid
from tests.faults.points import TELLING
from tests.faults.processes import Member, Stack
from tests.faults.waiting import until
from tests.receiver import Receiver, receiving

HOUR = 3_600  # seconds


@dataclass(frozen=True, slots=True)
class Telling:
    """A message that is due, and its receiver."""

    stack: Stack
    db: asyncpg.Connection
    receiver: Receiver
    secret: str

    def worker(self, clock: int = 0, testing: str = "") -> Member:
        return self.stack.worker(clock, private_endpoints="true", testing=testing)

    async def is_delivered(self) -> bool:
        return bool(await self.db.fetchval("select bool_and(delivered_at is not null) from outbox"))

    async def calls(self, count: int) -> None:
        async def came() -> bool:
            return len(self.receiver.calls) >= count

        await until(f"{count} calls", came, 30)


@pytest.fixture
async def telling(stack: Stack) -> AsyncIterator[Telling]:
    db = await stack.database()
    agent = AgentId(Ulid((await stack.access()).agent))
    async with receiving() as receiver:
        hook = await webhooks.set_webhook(db, agent, receiver.url)
        await db.execute(
            "insert into outbox (partition, thread, id, run, agent, type, body)"
            " values (7, $1, $2, $1, $3, 'run.completed', '{}')",
            *(ids.mint(), ids.mint(), agent),
        )
        yield Telling(stack, db, receiver, hook.secret or "")
    await db.close()


async def test_what_a_killed_worker_was_telling_is_told_again_with_the_same_id(telling: Telling) -> None:
    telling.receiver.silent = True
    telling.worker()
    await telling.calls(1)
    await telling.stack.workers[0].kill()  # after the call, before its mark
    telling.receiver.silent = False
    assert not await telling.is_delivered()
    await telling.db.execute("update outbox set next_try_at = clock_timestamp()")  # its 30 s are over
    telling.worker()
    await until("the message is delivered", telling.is_delivered, 30)
    assert len(telling.receiver.calls) == 2
    assert len({call.message for call in telling.receiver.calls}) == 1


@pytest.mark.parametrize("point", TELLING)
async def test_what_a_worker_had_claimed_when_it_was_killed_is_told_with_the_same_id(
    telling: Telling, point: str
) -> None:
    assert await telling.worker(testing=f"crash:{point}").died() == CRASHED
    assert await telling.is_delivered() == (point == "webhook.after_mark")
    await telling.db.execute("update outbox set next_try_at = clock_timestamp()")
    telling.worker()
    await until("the message is delivered", telling.is_delivered, 30)
    assert len(telling.receiver.calls) == TELLING[point]
    assert len({call.message for call in telling.receiver.calls}) == 1


@pytest.mark.parametrize("clock", [HOUR, -HOUR])
async def test_a_worker_whose_clock_is_an_hour_off_signs_by_postgres_clock(telling: Telling, clock: int) -> None:
    telling.worker(clock)
    await until("the message is delivered", telling.is_delivered, 30)
    (call,) = telling.receiver.calls
    Webhook(telling.secret).verify(call.body, call.headers)  # refuses what is five minutes off
