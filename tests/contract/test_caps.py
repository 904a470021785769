"""The cap on an account's batches in flight: held over HTTP, whatever commits and looks do meanwhile."""

import asyncio

import pytest

from api import room
from tests.contract.limits import ASYNC, limit
from tests.service import Service, message, upload
from tests.watch import until


async def test_an_account_has_no_more_batches_in_flight_than_its_cap(limited: Service) -> None:
    client, other = await limited.client("acme"), await limited.client("globex")
    thread, theirs = await client.new_thread(), await other.new_thread()
    await limited.pool.execute("update accounts set held = true, in_flight = 3 where id = $1", client.account)
    sent = [await client.send(thread, message(), Idempotency_Key=str(n), **ASYNC) for n in range(4)]
    assert [reply.status for reply in sent] == [200, 200, 200, 429]
    said = "The account may have 3 batches in flight, accepted and not applied, and has 3."
    assert sent[3].error == (429, "rate_limited", said)
    names = ("retry-after", "ratelimit-policy", "ratelimit")
    assert [sent[3].headers[name] for name in names] == ["1", '"in_flight";q=3', '"in_flight";r=0;t=1']
    known = await client.send(thread, message(), Idempotency_Key="0", **ASYNC)
    assert known.error[:2] == (409, "idempotency_conflict"), "the key comes first"
    assert (await client.call("GET", f"/threads/{thread}")).status == 200, "reads are no batches"
    assert (await other.send(theirs, message())).status == 200
    await limited.pool.execute("update accounts set held = false where id = $1", client.account)

    async def is_taken() -> bool:
        return (await client.send(thread, message(), Idempotency_Key="3")).status == 200

    await until(is_taken)


async def test_a_caller_with_a_rate_is_told_of_the_limit_that_refused_it(limited: Service) -> None:
    client = await limited.client("acme")
    thread = await client.new_thread()
    await limited.pool.execute("update accounts set held = true, in_flight = 1")
    await limit(limited, client, 50)
    taken, refused = [await client.send(thread, message(), **ASYNC) for _ in range(2)]
    assert (taken.status, taken.headers["ratelimit-policy"].split(";")[0]) == (200, '"account"')
    assert (refused.status, refused.headers["ratelimit"]) == (429, '"in_flight";r=0;t=1')
    assert refused.headers["ratelimit-policy"] == '"in_flight";q=1'
    assert (await client.call("GET", f"/threads/{thread}")).headers["ratelimit"].startswith('"account";r=')


async def test_a_key_that_is_used_costs_no_unit_over_the_cap_either(limited: Service) -> None:
    client = await limited.client("acme")
    thread = await client.new_thread()
    await limited.pool.execute("update accounts set held = true, in_flight = 1")
    await limit(limited, client, 3)
    assert (await client.send(thread, message(), Idempotency_Key="1", **ASYNC)).status == 200
    again = [(await client.send(thread, message(), Idempotency_Key="1", **ASYNC)).status for _ in range(4)]
    assert again == [409] * 4
    assert (await client.call("GET", f"/threads/{thread}")).headers["ratelimit"].startswith('"account";r=1;')


async def test_a_batch_whose_files_cant_be_attached_takes_a_unit_and_no_place(limited: Service) -> None:
    client = await limited.client("acme")
    thread, files = await client.new_thread(), [(await upload(client)).json["file"]["id"] for _ in range(2)]
    await limited.pool.execute("update accounts set held = true, in_flight = 1")
    await limit(limited, client, 5)
    unknown = [*files, "file_x"]
    refused = [(await client.send(thread, message(attachmentIds=unknown), **ASYNC)).status for _ in range(2)]
    assert refused == [400, 400]
    assert (await client.send(thread, message(attachmentIds=files[:1]), **ASYNC)).status == 200
    full = await client.send(thread, message(attachmentIds=files[1:]), **ASYNC)
    assert (full.status, full.headers["ratelimit-policy"]) == (429, '"in_flight";q=1')
    left = await client.call("GET", f"/threads/{thread}/files")
    assert [(file["id"], file["committed"]) for file in left.json["files"]] == [(files[0], False)]
    assert left.headers["ratelimit"].startswith('"account";r=0;')


async def test_a_cap_holds_while_commits_are_slow_and_many_looks_see_none_of_them(
    limited: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FRESH", 0.0)
    client = await limited.client("acme")
    thread = await client.new_thread()
    await limited.pool.execute("update accounts set held = true, in_flight = 3")
    async with limited.pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table batches in share mode")  # reads go on, inserts wait
        sent = []
        for _ in range(12):
            sent.append(asyncio.create_task(client.send(thread, message(), **ASYNC)))
            await client.call("GET", f"/threads/{thread}")  # so that the next one has a look of its own

        async def are_refused() -> bool:
            return sum(one.done() for one in sent) >= 9

        await until(are_refused)
    assert sorted([(await one).status for one in sent]) == [200] * 3 + [429] * 9


@pytest.mark.slow
async def test_a_cap_is_held_by_what_is_in_flight_and_not_by_what_was(limited: Service) -> None:
    """Far more batches than the cap, one after the other: none is refused, because each is applied before the next."""
    client = await limited.client("acme")
    thread = await client.new_thread()
    await limited.pool.execute("update accounts set in_flight = 5")
    assert {(await client.send(thread, {"type": "user_interrupt"})).status for _ in range(40)} == {200}
