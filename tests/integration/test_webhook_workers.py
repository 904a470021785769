"""Workers tell webhooks beside each other: nobody is held up, nothing is told twice, what is over is forgotten."""

import asyncio

import pytest

from shared import webhooks
from shared.ids import AgentId, Ulid
from shared.inspect.webhooks import MessageState, list_messages, some_messages, summary
from shared.queue import open_redis
from shared.settings import Settings
from tests.agents import running_stage
from tests.driver import Driver
from tests.pipeline import PARTITIONS, running_crew
from tests.receiver import Receiver, receiving
from tests.telling import another_agent, deliver, finished, make_due, running, stuff, told, verified
from tests.watch import until
from worker.upkeep import Upkeep
from worker.webhooks import CALLS_AN_AGENT, Webhooks


async def test_a_dead_endpoint_does_not_hold_up_another_agents(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    async with receiving() as dead:
        dead.silent = True
        other = await another_agent(driver, dead.url)
        await stuff(driver, other, rows=300)
        async with running(hooks):

            async def is_full() -> bool:
                return len(dead.calls) == CALLS_AN_AGENT

            await until(is_full)
            await finished(driver)

            async def is_told() -> bool:
                return len(receiver.calls) == 1

            await until(is_told, timeout=5)  # a call to the dead one ends after 10 s
            assert len(dead.calls) == CALLS_AN_AGENT
        dead.release()


async def test_a_receiver_that_fails_is_called_by_one_at_a_time_until_it_answers(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    await stuff(driver, driver.caller.agent, rows=12)
    receiver.statuses = [500] * (CALLS_AN_AGENT + 1)
    assert [await deliver(hooks) for _ in range(4)] == [CALLS_AN_AGENT, 1, 1, CALLS_AN_AGENT]


async def test_a_worker_that_is_lost_before_its_mark_is_repeated_with_the_same_id(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks, settings: Settings
) -> None:
    await finished(driver)
    lost = Webhooks(settings.model_copy(update={"private_endpoints": True}))
    await lost.run_once()
    await asyncio.wait(lost._calls)  # answered, and never marked
    assert len(receiver.calls) == 1
    assert await deliver(hooks) == 0  # leased still
    await make_due(driver)
    assert await deliver(hooks) == 1
    assert len({call.message for call in receiver.calls}) == 1
    assert len(verified(receiver, secret)) == 2
    lost._calls.clear()
    await lost.close()


async def test_a_late_failure_does_not_undo_what_another_worker_delivered(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks, settings: Settings
) -> None:
    receiver.statuses = [410]
    await finished(driver)
    slow = Webhooks(settings.model_copy(update={"private_endpoints": True}))
    await slow.run_once()
    await asyncio.wait(slow._calls)
    await make_due(driver)
    await deliver(hooks)
    await slow.finish()
    await slow.close()
    (row,) = await told(driver)
    assert (row["delivered_at"] is not None, row["parked_at"], row["attempts"]) == (True, None, 2)


async def test_two_workers_tell_nothing_twice(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks, settings: Settings
) -> None:
    await stuff(driver, driver.caller.agent, rows=150)
    other = Webhooks(settings.model_copy(update={"private_endpoints": True}))
    async with running(hooks, other):

        async def are_told() -> bool:
            told: int = await driver.pool.fetchval("select count(*) from outbox where delivered_at is not null")
            return told == 150

        await until(are_told, timeout=20)
    await other.close()
    assert len(receiver.calls) == len({call.message for call in receiver.calls}) == 150


async def test_a_crew_tells_by_itself_and_logs_no_secret(
    driver: Driver, receiver: Receiver, secret: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.statuses = [200, 410]
    await finished(driver)
    async with running_crew(settings.model_copy(update={"private_endpoints": True})):

        async def is_settled() -> bool:
            return all(row["delivered_at"] or row["parked_at"] for row in await told(driver))

        await until(is_settled)
        await finished(driver)
        await until(is_settled)
    assert [bool(row["parked_at"]) for row in await told(driver)] == [False, True]
    assert len(verified(receiver, secret)) == 2
    logged = capsys.readouterr()
    assert "a webhook became a dead letter" in logged.out + logged.err  # the search sees what it should
    assert secret not in logged.out + logged.err


async def test_what_the_executor_does_is_told_as_it_happens(settings: Settings, receiver: Receiver) -> None:
    async with running_stage(settings.model_copy(update={"private_endpoints": True})) as stage:
        hook = await webhooks.set_webhook(stage.service.pool, AgentId(Ulid(stage.client.agent)), receiver.url)
        _, run = await stage.start()

        async def is_told() -> bool:
            return bool(receiver.calls)

        await until(is_told)
    (payload,) = verified(receiver, hook.secret or "")
    assert (payload["type"], payload["data"]["run"]["id"]) == ("run.completed", run)


async def test_messages_are_listed_by_state_and_agent(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    receiver.statuses = [200, 410]
    for _ in range(2):
        await finished(driver)
        await deliver(hooks)
    other = await another_agent(driver, receiver.url)
    await stuff(driver, other, rows=3)
    assert [view.state for view in await some_messages(driver.pool, 50)] == ["due"] * 3 + ["dead", "delivered"]
    assert len(await some_messages(driver.pool, 2)) == 4
    assert [view.agent for view in (await list_messages(driver.pool, 50, MessageState.DUE)).items] == [other] * 3
    assert [view.state for view in await some_messages(driver.pool, 50, driver.caller.agent)] == [
        *("dead", "delivered")
    ]
    numbers = await summary(driver.pool)
    assert (numbers.waiting.value, numbers.dead.value) == (3, 1)
    assert numbers.late is not None


async def test_what_was_delivered_is_forgotten_in_time_and_the_rest_is_kept(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks, settings: Settings
) -> None:
    receiver.statuses = [200, 200, 410, 410]
    for _ in range(4):
        await finished(driver)
        await deliver(hooks)
    await finished(driver)
    old, _, dead, _, due = [row["id"] for row in await told(driver)]
    older = "update outbox set {0} = {0} - make_interval(hours => $2) where id = $1"
    for column, hours, row in (("delivered_at", 25, old), ("parked_at", 31 * 24, dead), ("created_at", 31 * 24, due)):
        await driver.pool.execute(older.format(column), row, hours)
    upkeep = Upkeep(settings, open_redis(settings.redis_url, 1.0), PARTITIONS)
    await upkeep.forget_once()
    await upkeep.close()
    left = {row["id"] for row in await told(driver)}
    assert left.isdisjoint({old, dead})
    assert len(left) == 3
