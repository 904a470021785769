"""The live log of a thread on the wire: how it begins, what it sends, where it goes on, when it ends."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from pydantic import TypeAdapter

from api import follow
from api.dialects.mosoo import answers
from shared import accounts, ids
from shared.models import TokenKind
from shared.reports import RunFinished
from shared.settings import Settings
from tests.service import Client, message
from tests.stage import SOON, Stage, following, running_stage, said


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
async def client(stage: Stage) -> Client:
    return await stage.service.client("acme")


async def test_a_stream_begins_with_a_comment_and_its_headers(stage: Stage, client: Client) -> None:
    thread = await stage.thread(client)
    async with following(client, thread, X_Request_Id="mine-1") as follower:
        fields = follower.response.headers
    assert fields["Content-Type"] == "text/event-stream; charset=utf-8"
    assert fields["Cache-Control"] == "no-store"
    assert fields["X-Accel-Buffering"] == "no"
    assert fields["X-Request-Id"] == "mine-1"
    assert fields["Server"] == "threadmill"


async def test_its_events_are_those_of_the_log(stage: Stage, client: Client) -> None:
    thread = await stage.thread(client, "hello")
    log = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    async with following(client, thread) as follower:
        replayed = await follower.events(len(log))
        await stage.send(client, thread, message("more\nthan one line"))
        live = await follower.event()
    assert replayed == log
    TypeAdapter(answers.Event).validate_python(live)
    assert (live["type"], live["content"]) == ("user.message", "more\nthan one line")
    newer = (await client.call("GET", f"/threads/{thread}/events?after={log[-1]['id']}")).json["events"]
    assert live == newer[0]


async def test_it_begins_with_the_newest_entries(stage: Stage, client: Client) -> None:
    thread, run = await stage.executing(client)
    await stage.say(thread, run, ["a", "b", "c"])
    await stage.send(client, thread, message("meanwhile"))
    log = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    async with following(client, thread, f"?limit={len(log)}") as whole:
        assert await whole.events(len(log)) == log
    assert [event["content"] for event in log if "delta" in event["type"]] == ["abc"]
    async with following(client, thread, "?limit=2") as newest:
        assert await newest.events(2) == log[-2:]
        await stage.say(thread, run, ["d", "e"])
        assert [event["content"] for event in await newest.events(2)] == ["d", "e"]


async def test_deltas_are_folded_only_where_nothing_stands_between_them(stage: Stage, client: Client) -> None:
    """Or a stream that ends within what it replays would lose those before its last id."""
    thread, run = await stage.executing(client)
    await stage.say(thread, run, ["a", "b"])
    await stage.send(client, thread, message("meanwhile"))
    await stage.say(thread, run, ["c", "d"])
    async with following(client, thread) as follower:
        while (entry := await follower.event())["content"] != "cd":
            pass
        ids_heard = [heard.id or "" for heard in follower.heard]
    assert all(earlier < later for earlier, later in pairwise(ids_heard))
    assert said([heard.data for heard in follower.heard]) == "abcd"
    for cursor in ids_heard:
        before = said([heard.data for heard in follower.heard if (heard.id or "") <= cursor])
        if cursor != entry["id"]:
            async with following(client, thread, Last_Event_ID=cursor) as again:
                while await again.event() != entry:
                    pass
            assert before + said([heard.data for heard in again.heard]) == "abcd"


async def test_it_goes_on_behind_an_id(stage: Stage, client: Client) -> None:
    thread = await stage.thread(client, "hello")
    for n in range(5):
        await stage.send(client, thread, message(f"m{n}"))
    log = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    for query, headers in (
        (f"?after={log[1]['id']}", {}),
        ("", {"Last_Event_ID": log[1]["id"].lower()}),
        (f"?after={log[3]['id']}&limit=1", {"Last_Event_ID": log[1]["id"]}),
    ):
        async with following(client, thread, query, **headers) as follower:
            assert await follower.events(len(log) - 2) == log[2:]


async def test_silence_is_broken_by_a_comment(stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow.SILENCE + follow.TICK == 15
    monkeypatch.setattr(follow, "SILENCE", 0.1)
    thread = await stage.thread(client)
    async with following(client, thread) as follower:
        assert await follower.response.content.readline() == b": still here\n"


async def test_it_stays_open_after_a_run_and_ends_with_it_where_that_is_wanted(stage: Stage, client: Client) -> None:
    thread, run = await stage.executing(client)
    async with following(client, thread) as open_one, following(client, thread, "?until=run") as brief:
        await stage.send(client, thread, message("next"))
        await stage.say(thread, run, ["bye"])
        await stage.report(thread, RunFinished(run))
        events = await brief.rest()
        assert (events[-1]["type"], events[-1]["runId"]) == ("run.completed", run)
        assert said(events) == "bye"
        while (await open_one.event())["id"] != events[-1]["id"]:
            pass
        await stage.say(thread, run, ["still there"])
        while (await open_one.event())["content"] != "still there":
            pass


async def test_without_a_run_it_ends_behind_its_replay(stage: Stage, client: Client) -> None:
    thread, run = await stage.executing(client)
    await stage.report(thread, RunFinished(run))
    log = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    async with following(client, thread, "?until=run") as follower:
        assert await follower.rest() == log
    async with following(client, thread, "?until=run", Last_Event_ID=log[-1]["id"]) as follower:
        assert await follower.rest() == []
    idle = await stage.thread(client)
    async with following(client, idle, "?until=run") as follower:
        assert await follower.rest() == []


async def test_a_deleted_thread_ends_its_streams(stage: Stage, client: Client) -> None:
    thread, run = await stage.executing(client)
    async with following(client, thread) as follower:
        assert (await client.call("DELETE", f"/threads/{thread}", Prefer="respond-async")).status == 200
        await stage.drain()
        events = await follower.rest()
        assert run in [event["runId"] for event in events if event["type"] == "run.completed"]
        last = follower.heard[-1]
        assert (last.name, last.data["error"]["code"]) == ("thread.error", "not_found")
    reply = await client.call("GET", f"/threads/{thread}/events/stream")
    assert reply.error[:2] == (404, "not_found")


async def test_a_revoked_token_ends_its_streams_and_no_others(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stage.service.settings
    slowest = settings.token_cache + follow.TOKENS + follow.INTERVAL + follow.READ_TIMEOUT
    assert slowest <= 30
    monkeypatch.setattr(follow, "TOKENS", 0.1)
    monkeypatch.setattr(follow, "INTERVAL", 0.1)
    thread = await stage.thread(client)
    async with stage.service.pool.acquire() as db:
        other = await accounts.create_token(db, client.account, TokenKind.SERVICE_TOKEN)
    async with following(client.using(other.secret.text), thread) as kept, following(client, thread) as ended:
        async with stage.service.pool.acquire() as db:
            await accounts.revoke_token(db, client.token_id)
        assert (await ended.error())[0] == "unauthenticated"
        await stage.send(client.using(other.secret.text), thread, message("still there"))
        assert (await kept.event())["content"] == "still there"


@pytest.mark.parametrize(
    ("query", "headers", "named"),
    [
        ("?after=x", {}, "after"),
        ("", {"Last_Event_ID": "x"}, "Last-Event-ID"),
        (f"?after={'0' * 26}", {"Last_Event_ID": "\u00e9" * 26}, "Last-Event-ID"),
        ("?limit=0", {}, "limit"),
        ("?limit=1001", {}, "limit"),
        ("?until=", {}, "until"),
        ("?until=thread", {}, "until"),
    ],
)
async def test_what_is_not_valid_is_refused_by_its_name(
    stage: Stage, client: Client, query: str, headers: dict[str, str], named: str
) -> None:
    thread = await stage.thread(client)
    reply = await client.call("GET", f"/threads/{thread}/events/stream{query}", **headers)
    assert reply.error[:2] == (400, "invalid_request")
    assert reply.error[2].startswith(named)


async def test_other_methods_are_answered_as_elsewhere(stage: Stage, client: Client) -> None:
    thread = await stage.thread(client)
    path = f"/threads/{thread}/events/stream"
    head = await client.call("HEAD", path)
    assert (head.status, head.body, head.headers["content-type"]) == (200, b"", "text/event-stream; charset=utf-8")
    assert (await client.call("HEAD", f"/threads/{ids.mint()}/events/stream")).status == 404
    assert (await client.call("POST", path, {})).error[:2] == (405, "invalid_request")


async def test_the_connection_of_a_stream_that_ended_is_used_again(stage: Stage, client: Client) -> None:
    thread = await stage.thread(client)
    for _ in range(3):
        async with following(client, thread, "?until=run") as follower:
            assert await follower.next(SOON) is None
            assert follower.response.headers.get("Connection") != "close"
