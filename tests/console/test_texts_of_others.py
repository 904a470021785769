"""What users, their agents and their receivers say, on each page that shows it: it is only ever text."""

import json
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from shared import accounts, agents, ids
from shared.keys import Keys
from shared.models import TokenKind
from shared.settings import Settings
from tests.console.browsing import Browsing, Seen
from tests.console.furnished import furnish
from tests.console.hostile import XSS, only_text
from tests.console.staff import Staff
from tests.rows import Row, add_batch, add_owner, add_thread

Pages = dict[str, list[str]]  # a page's path -> what is to be read there
RUN = (
    "insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at, completed_at,"
    " error) values ($1, $2, $3, 1, 'failed', 'user_prompt', now(), now(), now(), now(), $4)"
)


async def idempotency_key(staff: Staff, _: Browsing) -> Pages:
    pool = staff.service.pool
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner, held=True)
    batch = await add_batch(pool, owner, thread, parked=True)
    await pool.execute(
        "insert into idempotency_keys (token, key, route, hash, partition, batch) values ($1, $2, '', '', $3, $4)",
        *(owner.token, XSS, thread.partition, batch),
    )
    return {f"/console/queue/batches/{batch}": [XSS], f"/console/dead/{batch}": [XSS]}


async def reason_of_a_discard(staff: Staff, operator: Browsing) -> Pages:
    pool = staff.service.pool
    owner = await add_owner(pool)
    batch = await add_batch(pool, owner, await add_thread(pool, owner, held=True), parked=True)
    told = await operator.confirm(f"/console/dead/discard?id={batch}", {"reason": XSS})
    only_text(told, "1 dead letter was discarded.")
    outcome = json.dumps(f"An operator discarded the batch: {XSS}")  # the page shows the document
    return {"/console/audit": [XSS], f"/console/queue/batches/{batch}": [outcome]}


async def failed_run(staff: Staff) -> Row:
    pool = staff.service.pool
    thread = await add_thread(pool, await add_owner(pool))
    error = json.dumps({"code": XSS, "message": XSS, "retryable": True})
    await pool.execute(RUN, thread.partition, thread.id, ids.mint(), error)
    return thread


async def error_of_a_run(staff: Staff, _: Browsing) -> Pages:
    thread = await failed_run(staff)
    run = await staff.service.pool.fetchval("select id from runs")
    pages = (
        f"/console/runs/{thread.id}/{run}",
        "/console/runs?list=failed",
        f"/console/runs?list=thread&thread={thread.id}",
        f"/console/threads/{thread.id}",
    )
    return {path: [f"{XSS}: {XSS}"] for path in pages}


async def note_of_a_permission(staff: Staff, _: Browsing) -> Pages:
    thread = await failed_run(staff)
    await staff.service.pool.execute(
        "insert into permission_requests (partition, thread, id, run, state, title, note, created_at, decided_at)"
        " select partition, thread, $1, id, 'rejected', 'May I?', $2, now(), now() from runs",
        *(ids.mint(), XSS),
    )
    return {f"/console/threads/{thread.id}": [f"note: {XSS}"]}


async def answer_of_a_receiver(staff: Staff, _: Browsing) -> Pages:
    furniture = await furnish(staff.service.pool)
    await staff.service.pool.execute(
        "update outbox set error = $1, body = $2", f"answered 404: {XSS}", json.dumps({XSS: XSS})
    )
    error, document = f"answered 404: {XSS}", f"{json.dumps(XSS)}: {json.dumps(XSS)}"
    return {
        "/console/webhooks": [error],
        "/console/webhooks?state=dead": [error],
        f"/console/webhooks/{furniture.dead[0]}": [error, document],
    }


PLACES = idempotency_key, reason_of_a_discard, error_of_a_run, note_of_a_permission, answer_of_a_receiver


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_what_others_say_is_text_wherever_it_stands(
    staff: Staff, operator: Browsing, place: Callable[[Staff, Browsing], Awaitable[Pages]]
) -> None:
    for path, shown in (await place(staff, operator)).items():
        only_text(await operator.open(path), *shown)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://northwind.example/{XSS}?{XSS}", "https://northwind.example/••••••?••••••"),
        (f"https://{XSS}.example/", "••••••"),
    ],
    ids=["path", "host"],
)
async def test_the_address_of_a_receiver_is_text_up_to_where_it_is_masked(
    staff: Staff, operator: Browsing, url: str, shown: str
) -> None:
    pool = staff.service.pool
    furniture = await furnish(pool)
    await pool.execute("update agents set webhook_url = $1 where id = $2", url, furniture.agent.id)
    for path in (f"/console/agents/{furniture.agent.id}", f"/console/webhooks/{furniture.dead[0]}"):
        seen = await operator.open(path)
        only_text(seen)
        assert f"<dt>webhook</dt><dd>{shown}</dd>" in seen.text, path
    for path in ("/console/agents", "/console/webhooks", "/console/webhooks?state=dead"):
        only_text(await operator.open(path))


async def test_the_names_of_those_whom_a_limit_refused_are_text(
    staff: Staff, operator: Browsing, settings: Settings, redis: Redis
) -> None:
    pool = staff.service.pool
    account = (await accounts.create_account(pool, f"account {XSS}")).id
    token = (await accounts.create_token(pool, account, TokenKind.SERVICE_TOKEN, f"token {XSS}")).token.id
    await pool.execute("update tokens set rate = 1")
    await redis.zadd(Keys(settings.redis_prefix).limited, {f"token_rate {account} {token}": 1})
    refused = (await operator.open("/console/queue")).text.split('<div id="refused">')[1]
    only_text(Seen(200, "", refused, {}, {}), f"account {XSS}", f"token {XSS}")
    only_text(await operator.open(f"/console/queue/accounts/{account}"), f"account {XSS}", f"token {XSS}")


async def test_the_names_that_the_playground_chooses_from_are_text(staff: Staff, operator: Browsing) -> None:
    account = await accounts.create_account(staff.service.pool, f"account {XSS}")
    agent = await agents.create_agent(staff.service.pool, account.id, f"agent {XSS}", "python")
    playground = "/console/playground"
    only_text(await operator.open(f"{playground}?agent={agent.id}"), account.name, agent.name)
    for path, name in (("accounts", account.name), (f"agents?account={account.id}", agent.name)):
        listed = await operator.open(f"{playground}/{path}")
        assert [one["name"] for one in listed.json["items"]] == [name]
        assert listed.headers["content-type"].startswith("application/json")  # no browser makes a page of it
        assert listed.headers["x-content-type-options"] == "nosniff"
