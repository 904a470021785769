"""The five calls of Cortex threads, field by field as their pages have them, in both shapes."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.agents import Stage
from tests.contract.cortex_client import THREADS, Cortex

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

PAGE = json.loads((Path(__file__).parent / "golden" / "cortex" / "threads.json").read_text(encoding="utf-8"))
FIRST = 1_000_000_000


async def test_the_request_of_a_message_is_named_also_with_its_answer(cortex: Cortex) -> None:
    thread = await cortex.new()
    body = {"thread_id": thread, "messages": [{"role": "user", "content": "hi"}], "stream": False}
    assert (await cortex.call("POST", "/api/v2/cortex/agent:run", body, X_Request_Id="req_001")).status == 200
    assert [one["request_id"] for one in (await cortex.describe(thread))["messages"]] == ["req_001", "req_001"]


async def test_every_message_moves_the_time_of_its_thread(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    before = await cortex.metadata(thread)
    await cortex.ask("hello", thread_id=thread)
    after, messages = (await cortex.describe(thread)).values()
    assert before["created_on"] == after["created_on"] <= messages[1]["created_on"]
    assert before["updated_on"] <= messages[1]["created_on"] <= messages[0]["created_on"] <= after["updated_on"]
    moved = await stage.service.pool.fetch(
        "select t.updated_at >= m.created_at as moved from threads t join messages m on m.thread = t.id"
    )
    assert [row["moved"] for row in moved] == [True, True]


async def test_a_thread_of_another_dialect_has_a_number_as_soon_as_it_is_listed(stage: Stage, cortex: Cortex) -> None:
    thread, run = await stage.start("from Mosoo")
    await stage.until(thread, run, "completed")
    (listed,) = (await cortex.call("GET", THREADS)).json
    again = (await cortex.call("GET", THREADS)).json
    assert [one["thread_id"] for one in again] == [listed["thread_id"]] == [FIRST]
    assert (listed["thread_name"], listed["origin_application"]) == ("", "")
    messages = (await cortex.describe(FIRST))["messages"]
    assert [(one["role"], one["message_payload"], one["request_id"]) for one in messages] == [
        ("assistant", "from Mosoo", ""),
        ("user", "from Mosoo", ""),
    ]
    assert (await cortex.call("DELETE", f"{THREADS}/{FIRST}")).status == 200
    assert (await stage.client.call("GET", f"/threads/{thread}")).status == 404


async def test_pages_go_on_behind_the_oldest_message_received(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    place = await stage.service.pool.fetchrow("select partition, thread from thread_numbers")
    assert place is not None
    await stage.service.pool.execute(
        "insert into messages (partition, thread, id, num, role, parts, created_at)"
        " select $1, $2, gen_random_uuid(), 7 * n, 'user', '[]', now() from generate_series(1, 250) n",
        *place,
    )
    seen: list[dict[str, Any]] = []
    for size in (100, 100, 100):
        query = f"?page_size={size}" + (f"&last_message_id={seen[-1]['message_id']}" if seen else "")
        seen += (await cortex.describe(thread, query))["messages"]
    assert [one["message_id"] for one in seen] == [7 * n for n in range(250, 0, -1)]
    assert [one["parent_id"] for one in seen] == [7 * n for n in range(249, 0, -1)] + [None]
    assert len((await cortex.describe(thread))["messages"]) == PAGE["limits"]["page_size_default"]
    assert (await cortex.describe(thread, "?last_message_id=7"))["messages"] == []
    assert len((await cortex.describe(thread, "?last_message_id=&page_size="))["messages"]) == 20
    assert (await cortex.describe(thread, "?page_size=1&last_message_id=100"))["messages"][0]["message_id"] == 98


async def test_a_key_is_answered_with_the_first_answer(cortex: Cortex, stage: Stage) -> None:
    body = {"origin_application": "my_app"}
    first = await cortex.call("POST", THREADS, body, Idempotency_Key="k")
    again = await cortex.call("POST", f"{THREADS}/", {"more": 1, **body}, Idempotency_Key="k")
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    other = await cortex.call("POST", THREADS, {}, Idempotency_Key="k")
    assert (other.status, other.json["error_code"]) == (409, "idempotency_conflict")
    for _ in range(2):
        reply = await cortex.call("DELETE", f"{THREADS}/{first.json}", Idempotency_Key="d")
        assert (reply.status, reply.json) == (200, {"success": True})
    assert (await cortex.call("POST", THREADS, body, Idempotency_Key="k")).body == first.body


async def test_the_live_answer_to_a_key_is_the_thread_as_it_was_made(live: Cortex) -> None:
    first = await live.call("POST", THREADS, {"origin_application": "my_app"}, Idempotency_Key="k")
    await live.call("POST", f"{THREADS}/{first.json['thread_id']}", {"thread_name": "later"})
    again = await live.call("POST", THREADS, {"origin_application": "my_app"}, Idempotency_Key="k")
    assert again.body == first.body


async def test_a_slash_behind_a_path_and_the_other_scheme_are_fine(cortex: Cortex) -> None:
    scheme = {"Authorization": f'Snowflake Token="{cortex.client.token}"'}
    created = await cortex.call("POST", f"{THREADS}/", {}, **scheme)
    thread = created.json
    assert (await cortex.call("GET", f"{THREADS}/{thread}/")).status == 200
    assert (await cortex.call("POST", f"{THREADS}/{thread}/", None)).status == 200
    assert len((await cortex.call("GET", f"{THREADS}/", **scheme)).json) == 1
    assert (await cortex.call("DELETE", f"{THREADS}/{thread}/")).status == 200
    assert created.headers["x-snowflake-request-id"] == created.headers["x-request-id"]


async def test_an_empty_body_is_an_empty_object(cortex: Cortex) -> None:
    assert (await cortex.call("POST", THREADS)).json == str(FIRST)
    assert (await cortex.call("POST", THREADS, {"origin_application": None})).json == str(FIRST + 1)
    assert (await cortex.call("POST", THREADS, {"origin_application": "ä" * 8})).status == 200


async def test_lists_that_meet_give_each_thread_one_number(stage: Stage, cortex: Cortex) -> None:
    for _ in range(20):
        await stage.client.create(None, Prefer="respond-async")
    lists = await asyncio.gather(*(cortex.call("GET", THREADS) for _ in range(8)))
    seen = [{one["thread_id"] for one in reply.json} for reply in lists]
    assert all(numbers == seen[0] for numbers in seen)
    assert len(seen[0]) == await stage.service.pool.fetchval("select count(*) from thread_numbers") == 20
