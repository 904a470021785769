"""Connections to Redis that write at once: what hung up meanwhile is opened again, what is large is waited for."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout

from shared.prompt import prompt_pool
from shared.queue import open_redis
from shared.settings import Settings

LARGE = 32 << 20  # bytes: more than a socket takes at once


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Redis]:
    client = open_redis(settings.redis_url, 5)
    yield client
    await client.aclose()


async def test_a_connection_that_the_server_closed_is_opened_again(client: Redis, redis: Redis) -> None:
    mine = await client.client_id()
    assert await redis.client_kill_filter(_id=str(mine)) == 1
    await asyncio.sleep(0.05)  # until the end of the stream is here; nothing else tells
    assert await client.ping()
    assert await client.client_id() != mine


async def test_what_is_written_is_in_the_same_turn_of_the_loop(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.ping()  # connected
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    (connection,) = client.connection_pool._available_connections
    written: list[int] = []
    send = connection.send_packed_command

    async def sent(command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        await send(command, check_health)
        written.append(turns)

    monkeypatch.setattr(connection, "send_packed_command", sent)
    counting = asyncio.create_task(count())
    await client.ping()
    counting.cancel()
    assert written == [0]


def test_a_connection_that_is_closed_while_it_is_written_to_is_an_error_of_redis(settings: Settings) -> None:
    """uvloop calls it a RuntimeError. One task listens, another subscribes: it is not the one that saw it close."""

    async def subscribe() -> None:
        client = open_redis(settings.redis_url, 5)
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe("first")
                transport = pubsub.connection._writer.transport
                transport.abort()
                await asyncio.sleep(0.05)  # until uvloop has closed it; nothing else tells
                with pytest.raises(RuntimeError):
                    transport.write(b"what uvloop says of it")
                await pubsub.subscribe("second")
        finally:
            await client.aclose()

    with pytest.raises(RedisConnectionError):
        uvloop.run(subscribe())


def test_what_is_larger_than_a_socket_takes_arrives_whole(settings: Settings) -> None:
    async def send() -> int:
        client = open_redis(settings.redis_url, 20)
        try:
            async with asyncio.timeout(20):
                await client.set(f"{settings.redis_prefix}large", b"x" * LARGE, px=5_000)
                return int(await client.strlen(f"{settings.redis_prefix}large"))
        finally:
            await client.aclose()

    assert uvloop.run(send()) == LARGE


async def test_one_that_takes_nothing_in_is_given_up_in_time() -> None:
    over, gone = asyncio.Event(), asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+OK\r\n" * 3)  # to what it is told at the start
        await over.wait()
        while await reader.read(1 << 20):
            pass
        writer.close()
        gone.set()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = open_redis(f"redis://127.0.0.1:{port}/0", 0.2)
    with pytest.raises(RedisTimeout):
        await client.set("large", b"x" * LARGE)
    over.set()
    async with asyncio.timeout(5):
        await gone.wait()
    await client.aclose()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("url", "kind"),
    [("rediss://127.0.0.1/0", SSLConnection), ("unix:///run/redis.sock", UnixDomainSocketConnection)],
)
def test_every_kind_of_connection_is_prompt(url: str, kind: type) -> None:
    made = prompt_pool(url).make_connection()
    assert isinstance(made, kind)
    assert type(made).__name__ == f"Prompt{kind.__name__}"
