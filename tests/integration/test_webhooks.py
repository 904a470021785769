"""Webhooks out: written with the run's move, told at least once with one id, given up after a day, told again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from pydantic import TypeAdapter
from standardwebhooks import Webhook, WebhookVerificationError

from api.dialects.mosoo.answers import Told
from shared import accounts, ids, webhooks
from shared.events import (
    Ask,
    RunExpired,
    RunFinished,
    RunLeased,
    RunResumed,
    RunWaits,
    ThreadArchived,
    ThreadDeleted,
    UserInterrupt,
)
from shared.ids import AgentId, RequestId, RunId, ThreadId, Ulid
from shared.inspect.webhooks import MessageState, find_message, list_messages, summary
from shared.metrics import WEBHOOKS
from shared.models import RunError
from shared.queue import open_redis
from shared.settings import Settings
from shared.tasks import end
from tests.driver import Driver, report_all
from tests.pipeline import PARTITIONS, message, running_crew
from tests.receiver import Receiver, receiving
from tests.watch import until
from worker.upkeep import Upkeep
from worker.webhooks import BASE, CALLS_AN_AGENT, CAP, Webhooks, delay

HOOKED = "select count(*) from outbox"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def secret(driver: Driver, receiver: Receiver) -> str:
    """Of the driver's agent, whose webhook is the receiver."""
    hook = await webhooks.set_webhook(driver.pool, driver.caller.agent, receiver.url)
    assert hook.secret is not None
    return hook.secret


@pytest.fixture
async def hooks(settings: Settings) -> AsyncIterator[Webhooks]:
    hooks = Webhooks(settings.model_copy(update={"private_endpoints": True}))
    yield hooks
    await hooks.finish()
    await hooks.close()


async def deliver(hooks: Webhooks) -> int:
    """One look for due rows, and all that comes of it; returns how many calls it made."""
    began = await hooks.run_once()
    await hooks.finish()
    return began


@asynccontextmanager
async def running(*several: Webhooks) -> AsyncIterator[None]:
    """Their loops, as workers run them."""
    loops = [asyncio.create_task(one.run()) for one in several]
    try:
        yield
    finally:
        await end(loops)


async def told(driver: Driver) -> list[asyncpg.Record]:
    return list(await driver.pool.fetch("select * from outbox order by created_at, id"))


async def make_due(driver: Driver) -> None:
    await driver.pool.execute("update outbox set next_try_at = clock_timestamp() - interval '1 second'")


async def finished(driver: Driver, error: RunError | None = None) -> tuple[ThreadId, RunId]:
    """A thread whose run came to its end."""
    thread, run = await driver.executing(message())
    await driver.report(thread, RunFinished(run, error))
    return thread, run


def verified(receiver: Receiver, secret: str) -> list[dict[str, Any]]:
    """What came, each one verified as a receiver does it."""
    return [Webhook(secret).verify(call.body, call.headers) for call in receiver.calls]


async def test_a_completed_run_is_told_once_and_signed(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    thread, run = await finished(driver)
    before = WEBHOOKS.labels("delivered")._value.get()
    assert await deliver(hooks) == 1
    assert await deliver(hooks) == 0
    (payload,) = verified(receiver, secret)
    TypeAdapter(Told).validate_json(receiver.calls[0].body)
    assert payload["type"] == "run.completed"
    assert payload["data"] | {"run": None} == {
        "account": driver.caller.account,
        "agent": driver.caller.agent,
        "thread": thread,
        "run": None,
    }
    stored = (await driver.runs(thread))[0]
    told_run = payload["data"]["run"]
    assert (told_run["id"], told_run["status"], told_run["error"]) == (run, "completed", None)
    assert payload["timestamp"] == told_run["updatedAt"] == told_run["completedAt"]
    assert told_run["completedAt"][:23] == stored["completed_at"].isoformat()[:23]
    (row,) = await told(driver)
    assert (row["delivered_at"] is not None, row["status"], row["attempts"]) == (True, 200, 1)
    assert receiver.calls[0].message == f"msg_{row['id']}"
    assert WEBHOOKS.labels("delivered")._value.get() == before + 1


async def test_another_secret_does_not_verify(driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks) -> None:
    await finished(driver)
    await deliver(hooks)
    rotated = await webhooks.rotate_secret(driver.pool, driver.caller.agent, receiver.url)
    assert rotated.secret not in {None, secret}
    with pytest.raises(WebhookVerificationError):
        verified(receiver, rotated.secret or "")
    await finished(driver)
    await deliver(hooks)
    Webhook(rotated.secret or "").verify(receiver.calls[1].body, receiver.calls[1].headers)


async def test_a_failed_run_is_told_with_its_error(driver: Driver, secret: str) -> None:
    await finished(driver, RunError("runtime.error", 'It said "no".', retryable=False))
    (row,) = await told(driver)
    assert row["type"] == "run.failed"
    assert json.loads(row["body"])["data"]["run"]["error"] == {
        "code": "runtime.error",
        "message": 'It said "no".',
        "retryable": False,
    }


async def test_an_expired_run_is_told_as_failed(driver: Driver, secret: str) -> None:
    thread, run = await driver.executing(message())
    await driver.report(thread, RunExpired(run))
    (row,) = await told(driver)
    assert row["type"] == "run.failed"
    assert json.loads(row["body"])["data"]["run"]["status"] == "expired"


async def test_a_cancelled_run_is_told_by_the_drain_that_cancels_it(driver: Driver, secret: str) -> None:
    thread, run = await driver.executing(message())
    queued = message()
    await driver.send(thread, queued)
    await driver.send(thread, UserInterrupt(queued.run))
    await driver.send(thread, UserInterrupt())
    rows = await told(driver)
    assert [(row["type"], row["run"]) for row in rows] == [("run.cancelled", queued.run), ("run.cancelled", run)]


@pytest.mark.parametrize("event", [ThreadArchived(), ThreadDeleted()])
async def test_an_archive_and_a_delete_tell_of_every_run_they_end(
    driver: Driver, secret: str, event: ThreadArchived | ThreadDeleted
) -> None:
    thread, _ = await driver.executing(message())
    await driver.send(thread, message(), message())
    await driver.send(thread, event)
    assert {row["run"] for row in await told(driver)} == {run["id"] for run in await driver.runs(thread)}
    assert {row["type"] for row in await told(driver)} == {"run.cancelled"}


async def test_a_run_that_was_made_and_cancelled_in_one_drain_is_told(driver: Driver, secret: str) -> None:
    asked = message()
    await driver.create(asked, UserInterrupt())
    assert [(row["type"], row["run"]) for row in await told(driver)] == [("run.cancelled", asked.run)]


async def test_a_waiting_run_is_told_once_with_its_open_requests(driver: Driver, secret: str) -> None:
    asks = (Ask(RequestId(ids.mint()), 'Delete "all"?'), Ask(RequestId(ids.mint()), "Send?"))
    thread, run, requests = await driver.asking(*asks)
    await driver.send(thread, message())  # queued behind it: nothing new is asked
    (row,) = await told(driver)
    TypeAdapter(Told).validate_json(row["body"])
    data = json.loads(row["body"])["data"]
    assert (row["type"], data["run"]["status"]) == ("run.waiting_input", "waiting_input")
    assert data["requests"] == [{"id": one, "title": ask.title} for one, ask in zip(requests, asks, strict=True)]
    await driver.pool.execute("update permission_requests set state = 'allowed', decided_at = now()")
    await driver.report(thread, RunLeased(run))  # waits still, in a worker's hands
    assert len(await told(driver)) == 1
    await driver.report(thread, RunResumed(run), RunWaits(run, (Ask(RequestId(ids.mint()), "And now?"),)))
    assert [row["type"] for row in await told(driver)] == ["run.waiting_input"] * 2


async def test_what_did_not_commit_is_not_told(driver: Driver, secret: str) -> None:
    thread, run = await driver.executing(message())
    connection = await driver.line.get()
    transaction = connection.transaction()
    await transaction.start()
    try:
        await report_all(connection, {thread: [RunFinished(run)]})
        assert await connection.fetchval(HOOKED) == 1
    finally:
        await transaction.rollback()
    assert await driver.pool.fetchval(HOOKED) == 0
    assert (await driver.runs(thread))[0]["status"] == "running"


async def test_an_agent_without_a_webhook_writes_nothing_and_runs_no_further_statement(driver: Driver) -> None:
    thread, run = await driver.executing(message())
    await driver.pool.execute("drop table outbox")  # whoever so much as asked it would fail
    await driver.report(thread, RunFinished(run))
    await driver.create(message(), UserInterrupt())
    assert (await driver.runs(thread))[0]["status"] == "completed"


async def test_a_message_that_moves_no_run_to_its_end_costs_an_agent_with_a_webhook_nothing(
    driver: Driver, secret: str
) -> None:
    await driver.pool.execute("drop table outbox")
    thread, _ = await driver.executing(message())
    await driver.send(thread, message())
    assert [run["status"] for run in await driver.runs(thread)] == ["running", "queued"]


@pytest.mark.parametrize("status", [500, 503, 404, 302, 429])
async def test_any_other_answer_is_tried_again_with_the_same_id(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks, status: int
) -> None:
    receiver.statuses, receiver.headers = [status], {"location": receiver.url}
    await finished(driver)
    await deliver(hooks)
    (row,) = await told(driver)
    assert (row["status"], row["attempts"], row["delivered_at"], row["parked_at"]) == (status, 1, None, None)
    assert str(status) in row["error"]
    assert len(receiver.calls) == 1  # a redirect is not followed
    await make_due(driver)
    await deliver(hooks)
    first, second = receiver.calls
    assert (first.message, first.body) == (second.message, second.body)
    verified(receiver, secret)
    (row,) = await told(driver)
    assert (row["status"], row["attempts"], row["error"]) == (200, 2, None)


async def test_the_next_try_is_some_seconds_away_by_postgres_clock(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)
    receiver.statuses = [500]
    await finished(driver)
    await deliver(hooks)
    wait = await driver.pool.fetchval("select extract(epoch from next_try_at - clock_timestamp())::float8 from outbox")
    assert BASE - 2 < wait <= BASE
    assert await deliver(hooks) == 0


def test_tries_grow_apart_up_to_an_hour() -> None:
    assert [delay(attempts, 1.0) for attempts in (1, 2, 3, 10, 11, 5_000)] == [BASE, 10, 20, 2_560, CAP, CAP]
    assert delay(7, 0.0) == 0
    assert delay(7, 0.5) == delay(7, 1.0) / 2


async def test_a_receiver_that_is_not_there_is_tried_again(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    async with receiving() as other:
        closed = other.url
    await webhooks.set_webhook(driver.pool, driver.caller.agent, closed)
    await finished(driver)
    await deliver(hooks)
    (row,) = await told(driver)
    assert (row["status"], row["delivered_at"], row["parked_at"]) == (None, None, None)
    assert row["error"]
    await webhooks.set_webhook(driver.pool, driver.caller.agent, receiver.url)  # read when it is told
    await make_due(driver)
    await deliver(hooks)
    assert [payload["type"] for payload in verified(receiver, secret)] == ["run.completed"]


async def test_a_receiver_that_does_not_answer_is_given_up_in_time(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.webhooks.TIMEOUT", 0.3)
    receiver.silent = True
    await finished(driver)
    await deliver(hooks)
    (row,) = await told(driver)
    assert (row["status"], row["error"]) == (None, "no answer within 0.3 s")


async def test_a_long_answer_is_not_read_to_its_end(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    receiver.body = b"x" * (32 << 20)
    await finished(driver)
    async with asyncio.timeout(5):
        await deliver(hooks)
    assert (await told(driver))[0]["delivered_at"] is not None


async def test_after_a_day_of_failures_it_is_a_dead_letter_and_can_be_told_again(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    receiver.statuses = [500, 500]
    await finished(driver)
    await driver.pool.execute("update outbox set created_at = clock_timestamp() - interval '23 hours 59 minutes'")
    await deliver(hooks)
    assert (await told(driver))[0]["parked_at"] is None
    await driver.pool.execute("update outbox set created_at = clock_timestamp() - interval '24 hours 1 minute'")
    await make_due(driver)
    await deliver(hooks)
    (row,) = await told(driver)
    assert (row["parked_at"] is not None, row["attempts"], row["error"]) == (True, 2, "answered 500")
    await make_due(driver)
    assert await deliver(hooks) == 0
    assert await webhooks.replay(driver.pool, [row["id"]]) == 1
    await deliver(hooks)
    assert len({call.message for call in receiver.calls}) == 1
    (row,) = await told(driver)
    assert (row["delivered_at"] is not None, row["parked_at"], row["attempts"]) == (True, None, 1)


async def test_a_replayed_message_has_another_day(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    receiver.statuses = [410, 500]
    await finished(driver)
    await driver.pool.execute("update outbox set created_at = clock_timestamp() - interval '3 days'")
    await deliver(hooks)
    assert await webhooks.replay_dead(driver.pool, driver.caller.agent) == 1
    assert await webhooks.replay_dead(driver.pool, driver.caller.agent) == 0
    await deliver(hooks)
    (row,) = await told(driver)
    assert (row["parked_at"], row["error"], row["attempts"]) == (None, "answered 500", 1)


async def test_a_receiver_that_is_gone_is_not_asked_again(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    receiver.statuses = [410]
    await finished(driver)
    await deliver(hooks)
    (row,) = await told(driver)
    assert (row["parked_at"] is not None, row["status"]) == (True, 410)
    view = await find_message(driver.pool, row["id"])
    assert (view.state, view.id, view.next_try_at) == (MessageState.DEAD, f"msg_{row['id']}", None)
    numbers = await summary(driver.pool)
    assert (numbers.waiting.value, numbers.late, numbers.dead.value) == (0, None, 1)


async def test_what_waits_for_a_webhook_that_was_removed_is_parked_with_the_reason(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    await finished(driver)
    await webhooks.remove_webhook(driver.pool, driver.caller.agent)
    await deliver(hooks)
    (row,) = await told(driver)
    assert (row["parked_at"] is not None, row["error"]) == (True, "the agent has no webhook any more")
    assert receiver.calls == []


async def test_a_private_address_is_refused_unless_a_setting_allows_it(
    driver: Driver, receiver: Receiver, secret: str, settings: Settings
) -> None:
    await finished(driver)
    hooks = Webhooks(settings)
    await deliver(hooks)
    await hooks.close()
    (row,) = await told(driver)
    assert "private network" in row["error"]
    assert row["delivered_at"] is None
    assert receiver.calls == []


async def test_a_secret_that_nobody_can_sign_with_harms_no_other_row(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    await finished(driver)
    await driver.pool.execute("update agents set webhook_secret = 'whsec_'")
    await deliver(hooks)
    (row,) = await told(driver)
    assert (row["delivered_at"], row["parked_at"], bool(row["error"])) == (None, None, True)


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


async def test_messages_are_listed_by_state_and_agent(
    driver: Driver, receiver: Receiver, secret: str, hooks: Webhooks
) -> None:
    receiver.statuses = [200, 410]
    for _ in range(2):
        await finished(driver)
        await deliver(hooks)
    other = await another_agent(driver, receiver.url)
    await stuff(driver, other, rows=3)
    assert [view.state for view in await list_messages(driver.pool, 50)] == ["due"] * 3 + ["dead", "delivered"]
    assert len(await list_messages(driver.pool, 2)) == 4
    assert [view.agent for view in await list_messages(driver.pool, 50, MessageState.DUE)] == [other] * 3
    assert [view.state for view in await list_messages(driver.pool, 50, None, driver.caller.agent)] == [
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


async def another_agent(driver: Driver, url: str) -> AgentId:
    agent = await accounts.create_agent(driver.pool, driver.caller.account, "other", "python")
    await webhooks.set_webhook(driver.pool, agent.id, url)
    return agent.id


async def stuff(driver: Driver, agent: AgentId, rows: int) -> None:
    """Rows that are due for longer than any other."""
    made = [(Ulid(ids.mint()), agent, ids.mint()) for _ in range(rows)]
    await driver.pool.executemany(
        "insert into outbox (partition, id, thread, run, agent, type, body, next_try_at)"
        " values (7, $1, $3, $3, $2, 'run.completed', '{}', clock_timestamp() - interval '1 hour')",
        made,
    )
