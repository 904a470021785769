"""Webhooks out: signed, told at least once with one id, given up after a day, told again."""

import asyncio
from datetime import timedelta

import pytest
from pydantic import TypeAdapter
from standardwebhooks import Webhook, WebhookVerificationError

from api.dialects.mosoo.answers import Told
from shared import webhooks
from shared.inspect.webhooks import MessageState, find_message, summary
from shared.metrics import WEBHOOKS
from shared.settings import Settings
from tests.driver import Driver
from tests.receiver import Receiver, receiving
from tests.telling import deliver, finished, make_due, told, verified
from worker.delivery import BASE, CAP, delay
from worker.webhooks import Webhooks


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
    monkeypatch.setattr("worker.delivery.TIMEOUT", 0.3)
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
    now = await driver.pool.fetchval("select clock_timestamp()")
    assert await webhooks.replay_dead(driver.pool, driver.caller.agent, now - timedelta(hours=1)) == 0
    assert await webhooks.replay_dead(driver.pool, driver.caller.agent, now) == 1
    assert await webhooks.replay_dead(driver.pool, driver.caller.agent, now) == 0
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
