"""Threads, runs and their log over HTTP: reading, listing, archive, unarchive, delete, pages and their ends."""

import asyncio

import pytest
from pydantic import TypeAdapter

from api.dialects.mosoo import answers
from shared import agents, ids
from shared.models import BusyPolicy, TokenKind
from tests.contract.shapes import TIME
from tests.pipeline import PARTITIONS
from tests.service import Client, Service, message

ARCHIVED = (409, "readiness_blocked", "The thread is archived.")


async def test_a_thread_reads_back_with_its_last_run(client: Client) -> None:
    made = (await client.create("hello")).json
    read = await client.call("GET", f"/threads/{made['thread']['id']}")
    assert read.status == 200
    assert read.json == {"links": made["links"], "run": made["run"], "thread": made["thread"]}
    TypeAdapter(answers.ThreadWithRun).validate_json(read.body)


async def test_a_thread_without_a_run_has_none(client: Client) -> None:
    thread = await client.new_thread()
    read = (await client.call("GET", f"/threads/{thread}")).json
    assert (read["run"], read["thread"]["status"], read["thread"]["title"]) == (None, "IDLE", None)


async def test_everything_that_a_create_says_is_in_the_thread(client: Client) -> None:
    user = ids.mint()
    body = {"client_external_ref": "ref", "attributed_user_id": user.lower(), "userId": "u-1"}
    thread = (await client.call("POST", f"/agents/{client.agent}/threads", body)).json["thread"]
    assert (thread["client_external_ref"], thread["attributed_user"], thread["userId"]) == ("ref", {"id": user}, "u-1")
    assert thread["created_by"] == {"id": client.token_id, "kind": "human_pat"}
    assert (thread["kind"], thread["source"], thread["agent_id"]) == ("cattle", "api", client.agent)
    assert TIME.match(thread["created_at"])


async def test_a_service_token_is_named_as_what_it_is(service: Service) -> None:
    client = await service.client("robots", kind=TokenKind.SERVICE_TOKEN)
    thread = (await client.create(None)).json["thread"]
    assert thread["created_by"]["kind"] == "service_token"


async def test_a_finished_run_shows_its_last_assistant_message(service: Service, client: Client) -> None:
    made = (await client.create("hello")).json
    await complete(service, made["thread"]["id"], made["run"]["id"], ["first", "last words"])
    read = (await client.call("GET", f"/threads/{made['thread']['id']}")).json
    assert read["run"]["finalOutput"] == {"text": "last words"}
    run = (await client.call("GET", f"/threads/{made['thread']['id']}/runs/{made['run']['id']}")).json
    assert run == {**read["run"], "queuePosition": None}


async def test_runs_have_their_place_in_the_queue(client: Client) -> None:
    thread = await client.new_thread()
    sent = (await client.send(thread, message("a"), message("b"), message("c", on_busy="interrupt"))).json
    cancelled, waits, current = [event["run"]["id"] for event in sent["events"]]
    listed = await client.call("GET", f"/threads/{thread}/runs")
    TypeAdapter(answers.Runs).validate_json(listed.body)
    places = {run["id"]: run["queuePosition"] for run in listed.json["runs"]}
    assert places == {cancelled: None, current: 0, waits: 1}
    for run, place in places.items():
        read = await client.call("GET", f"/threads/{thread}/runs/{run}")
        assert read.json["queuePosition"] == place


async def test_runs_come_in_pages_newest_first(client: Client) -> None:
    thread = await client.new_thread()
    await client.send(thread, *[message(str(n)) for n in range(5)])
    whole = (await client.call("GET", f"/threads/{thread}/runs")).json
    first = (await client.call("GET", f"/threads/{thread}/runs?limit=3")).json
    rest = (await client.call("GET", f"/threads/{thread}/runs?limit=3&after={first['runs'][-1]['id']}")).json
    assert first["runs"] + rest["runs"] == whole["runs"]
    assert (whole["truncated"], first["truncated"], rest["truncated"]) == (False, True, False)


async def test_an_archived_thread_takes_no_events_until_it_is_taken_out(client: Client) -> None:
    thread = await client.new_thread("hello")
    for _ in range(2):
        reply = await client.call("POST", f"/threads/{thread}/archive")
        assert (reply.status, reply.json) == (200, {"ok": True})
    assert (await client.send(thread, message("a"))).error == ARCHIVED
    read = (await client.call("GET", f"/threads/{thread}")).json
    assert (read["thread"]["status"], read["run"]["status"]) == ("IDLE", "cancelled")
    for _ in range(2):
        reply = await client.call("POST", f"/threads/{thread}/unarchive")
        assert (reply.status, reply.json) == (200, {"ok": True})
    assert (await client.send(thread, message("a"))).status == 200


async def test_a_deleted_thread_is_unknown_everywhere(client: Client) -> None:
    thread = await client.new_thread("hello")
    unknown = await client.call("GET", f"/threads/{ids.mint()}")
    reply = await client.call("DELETE", f"/threads/{thread}")
    assert (reply.status, reply.json) == (200, {"ok": True})
    for method, path in [
        *[("DELETE", ""), ("GET", ""), ("GET", "/events"), ("GET", "/runs")],
        *[("POST", "/archive"), ("POST", "/unarchive")],
    ]:
        again = await client.call(method, f"/threads/{thread}{path}")
        assert (again.status, again.body) == (404, unknown.body)
    assert (await client.send(thread, message("a"))).body == unknown.body
    assert (await client.call("GET", f"/agents/{client.agent}/threads")).json["threads"] == []


async def test_two_deletes_at_once_are_one(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    async with service.pool.acquire() as db:  # both get in before the worker applies either
        await db.execute("update partitions set paused = true")
        first = await client.call("DELETE", f"/threads/{thread}", Prefer="wait=0")
        sent = asyncio.create_task(client.call("DELETE", f"/threads/{thread}", Prefer="wait=5"))
        while await db.fetchval("select count(*) from batches where applied_at is null") < 2:
            assert not sent.done()
        await db.execute("update partitions set paused = false")
        second = await sent
    assert first.json["ok"] is True
    assert [warning["code"] for warning in first.json["warnings"]] == ["apply_pending"]
    assert second.status == 404


async def test_a_held_thread_takes_only_its_delete(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    async with service.pool.acquire() as db:
        await db.execute("update threads set held = true where id = $1", thread)
    for reply in (
        await client.send(thread, message("a")),
        await client.call("POST", f"/threads/{thread}/archive"),
        await client.call("POST", f"/threads/{thread}/unarchive"),
    ):
        assert reply.error[:2] == (409, "readiness_blocked")
        assert "dead letter" in reply.error[2]
    assert (await client.call("GET", f"/threads/{thread}")).status == 200
    assert (await client.call("DELETE", f"/threads/{thread}")).status == 200


async def test_threads_are_listed_newest_updated_first_in_pages(client: Client) -> None:
    made = [await client.new_thread() for _ in range(5)]
    await client.send(made[1], message("this one moves"))
    path = f"/agents/{client.agent}/threads"
    whole = await client.call("GET", path)
    TypeAdapter(answers.Threads).validate_json(whole.body)
    order = [made[1], made[4], made[3], made[2], made[0]]
    assert [thread["id"] for thread in whole.json["threads"]] == order
    first = (await client.call("GET", f"{path}?limit=2")).json
    second = (await client.call("GET", f"{path}?limit=2&after={order[1]}")).json
    third = (await client.call("GET", f"{path}?limit=2&after={order[3]}")).json
    pages = [[thread["id"] for thread in page["threads"]] for page in (first, second, third)]
    assert pages == [order[:2], order[2:4], order[4:]]
    assert [page["truncated"] for page in (first, second, third)] == [True, True, False]


@pytest.mark.parametrize("text", [None, "hello"], ids=["idle", "busy"])
async def test_a_page_behind_a_thread_that_was_deleted_meanwhile_goes_on_where_it_was(
    client: Client, text: str | None
) -> None:
    made = [await client.new_thread(text) for _ in range(5)]
    path = f"/agents/{client.agent}/threads?limit=2"
    first = (await client.call("GET", path)).json["threads"]
    assert [thread["id"] for thread in first] == [made[4], made[3]]
    assert (await client.call("DELETE", f"/threads/{made[3]}")).status == 200
    second = await client.call("GET", f"{path}&after={made[3]}")
    assert (second.status, [thread["id"] for thread in second.json["threads"]]) == (200, [made[2], made[1]])


async def test_a_page_behind_a_strangers_thread_is_unknown_also_where_it_was_deleted(
    client: Client, stranger: Client
) -> None:
    thread = await stranger.new_thread()
    path = f"/agents/{client.agent}/threads"
    unknown = await client.call("GET", f"{path}?after={ids.mint()}")
    for _ in range(2):
        reply = await client.call("GET", f"{path}?after={thread}")
        assert (reply.status, reply.body) == (404, unknown.body)
        await stranger.call("DELETE", f"/threads/{thread}")


async def test_threads_updated_at_the_same_moment_are_listed_once(service: Service, client: Client) -> None:
    made = sorted([await client.new_thread() for _ in range(7)])
    async with service.pool.acquire() as db:
        await db.execute("update threads set created_at = '2026-01-01', updated_at = '2026-01-02'")
    seen: list[str] = []
    after = ""
    while page := (await client.call("GET", f"/agents/{client.agent}/threads?limit=3{after}")).json["threads"]:
        seen += [thread["id"] for thread in page]
        after = f"&after={seen[-1]}"
    assert seen == made


async def test_archived_threads_are_listed_apart(client: Client) -> None:
    kept, archived = await client.new_thread(), await client.new_thread()
    await client.call("POST", f"/threads/{archived}/archive")
    path = f"/agents/{client.agent}/threads"
    for query, wanted in [("", kept), ("?archived=false", kept), ("?archived=true", archived)]:
        listed = (await client.call("GET", path + query)).json["threads"]
        assert [thread["id"] for thread in listed] == [wanted]


async def test_a_page_that_can_t_be_is_refused(client: Client) -> None:
    thread = await client.new_thread()
    wrong = [
        "limit=0",
        "limit=1001",
        "limit=",
        "limit=ten",
        "limit=-1",
        "limit=1.5",
        "limit=\u0663",
        "after=",
        "after=x",
    ]
    for path, queries in {
        f"/threads/{thread}/events": wrong,
        f"/threads/{thread}/runs": wrong,
        f"/agents/{client.agent}/threads": ["limit=101", "archived=yes", "archived=", "after=x"],
    }.items():
        for query in queries:
            reply = await client.call("GET", f"{path}?{query}")
            assert reply.error[:2] == (400, "invalid_request")
            assert reply.error[2].startswith(query.split("=")[0])


async def test_an_agent_that_is_not_published_takes_no_threads_until_it_is(service: Service, client: Client) -> None:
    async with service.pool.acquire() as db:
        agent = await agents.create_agent(db, client.account, "new", "echo", busy_policy=BusyPolicy.QUEUE)
    path = f"/agents/{agent.id}/threads"
    assert (await client.call("POST", path, {})).error == (409, "agent_not_published", "The agent is not published.")
    assert (await client.call("GET", path)).json == {"threads": [], "truncated": False}
    async with service.pool.acquire() as db:
        await agents.publish_agent(db, agent.id)
    assert (await client.call("POST", path, {})).status == 201


async def complete(service: Service, thread: str, run: str, said: list[str]) -> None:
    """Lets a run be finished, with messages of its assistant."""
    partition = ids.partition_of(thread, PARTITIONS)
    async with service.pool.acquire() as db:
        for text in said:
            await db.execute(
                "insert into messages (partition, thread, id, role, parts, run, created_at)"
                " values ($1, $2, $3, 'assistant',"
                " jsonb_build_array(jsonb_build_object('type', 'text', 'text', $5::text)), $4, now())",
                *(partition, thread, ids.mint(), run, text),
            )
        await db.execute(
            "update runs"
            " set status = 'completed', started_at = created_at, updated_at = now(), completed_at = now()"
            " where partition = $1 and thread = $2 and id = $3",
            *(partition, thread, run),
        )
