"""Connections by sentinels that say what a test wants; a real fail-over is in tests/failover."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as Silence

from deploy import children, embedded, ports
from shared import sentinel as sentinels
from shared.inspect.doctor import diagnose
from shared.inspect.servers import redis_health
from shared.keys import Keys
from shared.queue import APPLY, Queue, open_arq, open_redis
from shared.redis_urls import Address
from shared.settings import Settings
from shared.subscription import Subscription
from tests.sentinel_server import place_of, sentinel, url_of


@pytest.fixture
def place(redis_url: str) -> Address:
    return place_of(redis_url)


@pytest.fixture
def elsewhere(place: Address) -> Address:
    """The same one by another name: it takes connections, and is another address."""
    return "localhost", place[1]


@pytest.fixture
async def replica(tmp_path: object) -> AsyncIterator[embedded.Server]:
    """One that has lost its master."""
    server = await embedded.start_redis(tmp_path, ports.pick(), "x")  # type: ignore[arg-type]  # pytest's path
    async with Redis.from_url(server.url) as client:
        await client.replicaof("127.0.0.1", "1")
    yield server
    await children.end(server.process, server.command)


async def _hear(subscription: Subscription, looks: int) -> None:
    for _ in range(looks):
        await subscription.message()


async def test_one_that_hangs_costs_those_who_wait_little(redis_url: str, place: Address) -> None:
    async with sentinel(place, mute=True) as mute, sentinel(place) as well:
        client = open_redis(url_of(redis_url, [mute, well]), 0.25)
        began = time.monotonic()
        assert await client.ping()
        assert time.monotonic() - began < 0.25, "a bell waits no longer than that"
        await client.aclose()


async def test_a_master_that_takes_connections_and_says_nothing_costs_a_second(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # as the kernel does for one that was stopped
        async with sentinel(silent.getsockname()) as one, asyncio.timeout(4.5):
            with pytest.raises(Unreachable, match="does not answer"):
                await open_redis(url_of(redis_url, [one]), 10).ping()


async def test_the_newest_word_counts(redis_url: str, place: Address) -> None:
    async with sentinel(("127.0.0.1", 1), epoch=3) as old, sentinel(place, epoch=4) as new:
        client = open_redis(url_of(redis_url, [old, new]), 1)
        assert await client.ping()
        await client.aclose()


async def test_a_replica_is_no_master_whatever_a_sentinel_says(replica: embedded.Server) -> None:
    async with sentinel(("127.0.0.1", urlsplit(replica.url).port or 0)) as behind:
        client = open_redis(url_of(replica.url, [behind]), 1)
        with pytest.raises(Unreachable, match="is no master yet"):
            await client.ping()
        await client.aclose()


async def test_a_hundred_new_connections_cost_one_question(redis_url: str, place: Address) -> None:
    async with sentinel(place) as one:
        clients = [open_redis(url_of(redis_url, [one]), 5) for _ in range(100)]
        assert all(await asyncio.gather(*(client.ping() for client in clients)))
        assert one.asked == 2, "where the master is, and how"
        for client in clients:
            await client.aclose()


async def test_a_master_that_takes_no_connection_is_asked_about_again_at_once(redis_url: str, place: Address) -> None:
    async with sentinel(("127.0.0.1", ports.pick())) as one:
        client = open_redis(url_of(redis_url, [one]), 1)
        with pytest.raises(Unreachable, match="connecting to"):
            await client.ping()
        one.master = place
        assert await client.ping()
        await client.aclose()


async def test_sentinels_have_a_password_of_their_own(redis_url: str, place: Address) -> None:
    async with sentinel(place, password="secret") as closed:
        client = open_redis(url_of(redis_url, [closed], "?sentinel_password=secret"), 1)
        assert await client.ping()
        arq = open_arq(url_of(redis_url, [closed], "?sentinel_password=secret"), "arq:queue")
        assert await arq.ping()
        await arq.aclose()
        await client.aclose()


async def test_who_learns_of_another_master_tells_all_connections(
    redis_url: str, place: Address, elsewhere: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentinels, "FRESH", 0.0)
    async with sentinel(place) as one:
        url = url_of(redis_url, [one])
        idle, other = open_redis(url, 1), open_redis(url, 1)
        first = await idle.client_id()
        one.master = elsewhere
        assert await idle.client_id() == first, "nobody knows it yet"
        await other.ping()
        assert await idle.client_id() != first
        for client in (idle, other):
            await client.aclose()


async def test_a_subscription_that_hears_nothing_asks_who_is_the_master_now(
    redis_url: str, place: Address, elsewhere: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentinels, "EVERY", 0.1)
    async with sentinel(place) as one:
        client = open_redis(url_of(redis_url, [one]), 1)
        async with aclosing(client.pubsub(ignore_subscribe_messages=True)) as pubsub:
            await pubsub.subscribe("anything")
            subscription = Subscription(pubsub, 0.05)
            for _ in range(10):
                assert await subscription.message() is None
            one.master = elsewhere
            with pytest.raises(Unreachable, match="no longer the master"):
                await _hear(subscription, 10)
        await client.aclose()


async def test_a_subscription_to_a_server_that_says_nothing_any_more_is_given_up() -> None:
    said = asyncio.Event()

    async def subscribed_then_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK\r\n" * 2)  # to the names of the library, which come first
        while (line := await reader.readline()) and b"PING" not in line:
            if b"SUBSCRIBE" in line:
                writer.write(b"*3\r\n$9\r\nsubscribe\r\n$8\r\nanything\r\n:1\r\n")
        said.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(subscribed_then_silent, "127.0.0.1", 0)
    client = open_redis(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", 1)
    async with aclosing(client.pubsub(ignore_subscribe_messages=True)) as pubsub:
        await pubsub.subscribe("anything")
        subscription = Subscription(pubsub, 0.05)
        with pytest.raises(Silence, match="no sign of life"):
            await _hear(subscription, 5)
    assert said.is_set(), "it was asked"
    await client.aclose()
    server.close()


async def test_a_subscription_that_has_nothing_to_hear_goes_on(redis: Redis, redis_prefix: str) -> None:
    async with aclosing(redis.pubsub(ignore_subscribe_messages=True)) as pubsub:
        await pubsub.subscribe(f"{redis_prefix}news")
        subscription = Subscription(pubsub, 0.05)
        for _ in range(8):
            assert await subscription.message() is None
        await redis.publish(f"{redis_prefix}news", "here")
        messages = [await subscription.message() for _ in range(2)]
        assert [message["data"] for message in messages if message] == [b"here"]


async def test_a_connection_to_a_demoted_master_is_given_up(tmp_path: object) -> None:
    server = await embedded.start_redis(tmp_path, ports.pick(), "x")  # type: ignore[arg-type]  # pytest's path
    client, own = open_redis(server.url, 1), Redis.from_url(server.url)
    queue = Queue(client, Keys())
    first = await client.client_id()
    await queue.claim(1)
    await own.replicaof("127.0.0.1", "1")
    with pytest.raises(ReadOnlyError):
        await client.set("a", "b")
    second = await client.client_id()
    assert second != first
    with pytest.raises(ReadOnlyError):
        await queue.wait(APPLY, 0.1)
    assert await client.client_id() != second
    for one in (client, own):
        await one.aclose()
    await children.end(server.process, server.command)


async def test_the_doctor_names_sentinels_that_are_all_down(settings: Settings, redis_url: str, place: Address) -> None:
    async with sentinel(place) as one:
        client = open_redis(url_of(redis_url, [one]), 1)
        await client.ping()
    found = {problem.code: problem for problem in await diagnose(None, client, Keys(settings.redis_prefix), settings)}
    assert "redis_away" not in found, "the connection at hand goes on"
    (said,) = found["redis_no_sentinel"].evidence
    assert said.startswith(f"sentinel 127.0.0.1:{one.port}: ")
    await client.aclose()


async def test_the_doctor_names_what_would_keep_sentinels_from_a_fail_over(
    settings: Settings, redis_url: str, place: Address
) -> None:
    async with sentinel(place) as well, sentinel(None) as ignorant, sentinel(place, flags="master,s_down") as lost:
        client = open_redis(url_of(redis_url, [well, ignorant, lost]), 1)
        found = await diagnose(None, client, Keys(settings.redis_prefix), settings)
        assert (await redis_health(client)).led == f"2 of 3 name {place[0]}:{place[1]}"
        await client.aclose()
    (one,) = [problem for problem in found if problem.code == "redis_no_failover"]
    assert one.what == f"A fail-over of the Redis master {place[0]}:{place[1]} may fail."
    assert one.evidence == (
        f"sentinel 127.0.0.1:{ignorant.port}: knows no 'mymaster'",
        f"sentinel 127.0.0.1:{lost.port}: does not reach the master",
        "the master has no replica",
    )
