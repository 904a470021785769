"""Streams and what happens to them: replicas, Redis gone, slow readers, many at once, the end of the process."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from redis.asyncio import Redis

from api import follow, sse
from shared import ids
from shared import stream as logs
from shared.effects import EventLogged
from shared.keys import Keys
from shared.metrics import OPEN_STREAMS
from shared.reports import RunFinished
from shared.settings import Settings
from tests.pipeline import PARTITIONS
from tests.proxy import wire_to
from tests.service import Client, message, running_api
from tests.stage import Stage, following, running_stage, said, until_said
from tests.watch import until

LIVE = 2.5  # seconds in which an event must come without Redis


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
async def client(stage: Stage) -> Client:
    return await stage.service.client("acme")


@asynccontextmanager
async def another_api(settings: Settings, client: Client) -> AsyncIterator[Client]:
    """The same client, of another process' api."""
    async with running_api(settings.model_copy(update={"ring": False})) as url:
        yield replace(client, url=url)


async def subscribed(settings: Settings, redis: Redis, thread: str) -> None:
    """Waits until an api listens for the thread."""
    channel = Keys(settings.redis_prefix).thread(thread)

    async def look() -> bool:
        ((_, listeners),) = await redis.pubsub_numsub(channel)
        return bool(listeners)

    await until(look)


async def test_a_stream_goes_on_behind_its_last_id_on_another_replica(
    settings: Settings, stage: Stage, client: Client
) -> None:
    thread, run = await stage.executing(client)
    async with another_api(settings, client) as other:
        async with following(client, thread) as first:
            await stage.say(thread, run, [f"{n} " for n in range(20)])
            while len(said([heard.data for heard in first.heard])) < 20:
                await first.event()
            last = first.heard[-1].id or ""
        await stage.say(thread, run, ["more ", "and more"])
        async with following(other, thread, Last_Event_ID=last) as second:
            whole = await stage.text(thread)
            await until_said(second, whole[len(said([heard.data for heard in first.heard])) :])
            await stage.say(thread, run, [" live"])
            assert (await second.event())["content"] == " live"


async def test_notices_make_a_stream_live(
    settings: Settings, stage: Stage, client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "INTERVAL", 3600.0)  # nothing but the notice can bring it
    thread, run = await stage.executing(client)
    async with following(client, thread, "?limit=1") as follower:
        await follower.event()
        await subscribed(settings, redis, thread)
        for n in range(50):
            await stage.say(thread, run, [str(n)])
            assert (await follower.event())["content"] == str(n)


async def test_without_redis_streams_live_on(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with running_stage(settings) as stage, AsyncExitStack() as stack:
        client = await stage.service.client("acme")
        thread, run = await stage.executing(client)
        lonely = await stack.enter_async_context(another_api(away, client))
        follower = await stack.enter_async_context(following(lonely, thread, "?limit=1"))
        await follower.event()
        for n in range(2):
            await stage.say(thread, run, [str(n)])
            heard = await follower.next(LIVE)
            assert heard is not None
            assert heard.data["content"] == str(n)


async def test_a_subscription_that_was_lost_is_made_anew(
    settings: Settings, stage: Stage, client: Client, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "INTERVAL", 3600.0)
    thread, run = await stage.executing(client)
    async with following(client, thread, "?limit=1") as follower:
        await follower.event()
        for n in range(2):
            await subscribed(settings, redis, thread)
            await redis.client_kill_filter(_type="pubsub", skipme=True)
            await stage.say(thread, run, [str(n)], tell=False)  # its notice is lost
            assert (await follower.event())["content"] == str(n)  # the new subscription makes up for it


async def test_a_stream_that_nobody_follows_any_more_is_not_listened_for(
    settings: Settings, stage: Stage, client: Client, redis: Redis
) -> None:
    thread = await stage.thread(client)
    before = OPEN_STREAMS._value.get()
    async with following(client, thread), following(client, thread):
        await subscribed(settings, redis, thread)
        assert OPEN_STREAMS._value.get() == before + 2

    async def look() -> bool:
        ((_, listeners),) = await redis.pubsub_numsub(Keys(settings.redis_prefix).thread(thread))
        return not listeners and OPEN_STREAMS._value.get() == before

    await until(look)


async def test_an_event_is_encoded_once_for_all_its_followers(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, run = await stage.executing(client)
    encoded: list[str] = []
    frame = sse.frame

    def counted(event: EventLogged) -> sse.Frame:
        encoded.append(event.id)
        return frame(event)

    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        many = replace(client, session=session)
        followers = [await stack.enter_async_context(following(many, thread, "?limit=1")) for _ in range(200)]
        for follower in followers:
            await follower.event()
        monkeypatch.setattr(sse, "frame", counted)
        await stage.say(thread, run, ["a", "b", "c"])
        for follower in followers:
            assert said(await follower.events(3)) == "abc"
    assert len(encoded) == 3


async def test_streams_are_prefix_exact_however_often_they_break_off(
    settings: Settings, stage: Stage, client: Client
) -> None:
    """A writer that never rests, clients that come back at random, on two apis, with small and large pieces."""
    thread, run = await stage.executing(client)
    chance = random.Random(7)  # noqa: S311 - the same story each time
    done = asyncio.Event()

    async def write() -> None:
        for n in range(120):
            size = chance.choice([1, 1, 5, 300])
            await stage.say(thread, run, [f"[{n}.{m}]" for m in range(size)], tell=chance.random() < 0.8)
            if n % 20 == 10:
                await stage.send(client, thread, message(f"meanwhile {n}"))
        await stage.report(thread, RunFinished(run))
        done.set()

    async def listen(clients: list[Client], dice: random.Random) -> str:
        text, headers = "", {"Last_Event_ID": "0" * 26}
        while True:
            async with following(dice.choice(clients), thread, "?limit=3", **headers) as follower:
                for _ in range(dice.randrange(1, 400)):
                    event = await follower.event()
                    assert event["id"] > headers["Last_Event_ID"]
                    headers = {"Last_Event_ID": event["id"]}
                    text += said([event])
                    if event["type"] == "run.completed":
                        return text

    dice = [random.Random(n) for n in range(6)]  # noqa: S311 - as above
    async with another_api(settings, client) as other, asyncio.TaskGroup() as group:
        readers = [group.create_task(listen([client, other], own)) for own in dice]
        group.create_task(write())
    text = await stage.text(thread)
    assert len(text) > 10_000
    assert [reader.result() == text for reader in readers] == [True] * 6
    assert done.is_set()


async def test_streams_end_where_postgres_stays_away(
    settings: Settings, stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "INTERVAL", 0.1)
    monkeypatch.setattr(follow, "REST", 0.05)
    monkeypatch.setattr(follow, "PATIENCE", 1.0)
    monkeypatch.setattr(follow, "READ_TIMEOUT", 0.5)
    thread, run = await stage.executing(client)
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(wire_to(settings.database_url))
        far = settings.model_copy(update={"database_url": wire.url})
        cut = await stack.enter_async_context(another_api(far, client))
        follower = await stack.enter_async_context(following(cut, thread, "?limit=1"))
        await follower.event()
        await stage.say(thread, run, ["a"])
        assert (await follower.event())["content"] == "a"
        wire.fall_silent(for_good=True)
        assert (await follower.error())[0] == "service_inactive"


async def test_a_brief_stream_ends_with_the_log_also_where_the_hub_is_not_that_far(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, run = await stage.executing(client)
    async with following(client, thread, "?limit=1") as follower:
        last = await follower.event()
        monkeypatch.setattr(follow, "INTERVAL", 3600.0)
        await stage.say(thread, run, ["a"])
        await follower.event()  # the hub has looked, and won't again
        await stage.say(thread, run, ["b", "c"], tell=False)
        await stage.report(thread, RunFinished(run), tell=False)
        newest = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
        for cursor in (last["id"], newest[-2]["id"]):
            async with following(client, thread, "?until=run", Last_Event_ID=cursor) as brief:
                assert (await brief.rest())[-1] == newest[-1]


async def test_a_cursor_of_another_thread_or_of_the_future_is_only_a_place(stage: Stage, client: Client) -> None:
    thread = await stage.thread(client, "hello")
    async with following(client, thread, Last_Event_ID="7" + "Z" * 25) as follower:
        await stage.send(client, thread, message("not for you"))
        with pytest.raises(TimeoutError):
            await follower.next(0.3)


async def test_a_long_log_comes_whole_and_in_bounded_pieces(stage: Stage, client: Client) -> None:
    thread, run = await stage.executing(client)
    for n in range(4):
        await stage.say(thread, run, [f"{n}.{m} " for m in range(3_000)])
    for _ in range(3):
        await stage.send(client, thread, *(message("y" * 100_000) for _ in range(3)))
    text = await stage.text(thread)
    async with following(client, thread, Last_Event_ID="0" * 26) as follower:
        await until_said(follower, text)
        while follower.heard[-1].data["content"] != "y" * 100_000:
            await follower.event()
    assert len(follower.heard) < 50


async def test_inputs_of_tools_count_as_they_are_sent(stage: Stage, client: Client) -> None:
    """A mebibyte of one letter is a few kilobytes in the table; a piece of a stream is bounded by what it unpacks."""
    thread, run = await stage.executing(client)
    partition = ids.partition_of(thread, PARTITIONS)
    db = await stage.line.get()
    await db.execute(
        "insert into thread_events (partition, thread, id, run, type, tool_input, occurred_at)"
        " select $1, $2, ('7fff' || lpad(to_hex(n), 28, '0'))::uuid, $3, 'tool.use.started',"
        " jsonb_build_object('text', repeat('x', 1000000)), now() from generate_series(1, 20) n",
        *(partition, thread, run),
    )
    await db.execute("update threads set last_event_id = ('7fff' || lpad('14', 28, '0'))::uuid where id = $1", thread)
    cursor, sizes = logs.START, []
    while pieces := await logs.behind(db, [logs.Place(partition, thread, cursor)], follow.ROWS, follow.SIZE):
        events = pieces[thread].events
        sizes.append(sum(event.tool_input is not None for event in events))
        cursor = events[-1].id
    assert (sum(sizes), max(sizes)) == (20, 1)
