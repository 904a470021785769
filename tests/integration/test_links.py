"""The proxy of the fault run: what its links do to connections, with an echo, a real Postgres and a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.faults.links import Links
from tests.faults.waiting import until

HELD = 0.15  # seconds in which nothing may come


@pytest.fixture
async def links(tmp_path: Path) -> AsyncIterator[Links]:
    async with Links(tmp_path / "proxy.log") as links:
        yield links


@asynccontextmanager
async def echo(heard: list[bytes]) -> AsyncIterator[int]:
    """A server that says what it hears; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                heard.append(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@dataclass(frozen=True, slots=True)
class Call:
    """A connection to a port of 127.0.0.1."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hears(self, data: bytes) -> None:
        assert await asyncio.wait_for(self.reader.readexactly(len(data)), 5) == data

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), HELD)

    async def ends(self) -> str:
        """How: `reset` or `close`."""
        try:
            assert await asyncio.wait_for(self.reader.read(1), 5) == b""
        except ConnectionResetError:
            return "reset"
        return "close"


@asynccontextmanager
async def dial(url: str) -> AsyncIterator[Call]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        yield Call(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def is_refused(url: str) -> bool:
    """Whether a connection is reset, however soon."""
    try:
        async with dial(url) as call:
            return await call.ends() == "reset"
    except ConnectionResetError:
        return True


def to(port: int) -> str:
    return f"redis://u@127.0.0.1:{port}"


async def test_a_link_passes_on_what_comes_and_waits_when_told_to(links: Links) -> None:
    async with echo([]) as port, dial(await links.add("a", to(port))) as call:
        much = bytes(range(256)) * 20_000
        call.say(much)
        await call.hears(much)
        await links.change("a", delay=0.1)
        began = time.monotonic()
        for word in (b"one", b"two", b"three"):
            call.say(word)
            await asyncio.sleep(0.01)
        await call.hears(b"onetwothree")
        assert 0.2 <= time.monotonic() - began < 1.0, "both ways once, and not once a word"


async def test_a_silent_direction_holds_what_was_said_and_goes_on_with_it(links: Links) -> None:
    heard: list[bytes] = []
    async with echo(heard) as port:
        url = await links.add("a", to(port))
        async with dial(url) as call:
            for way, is_heard in (("up", []), ("down", [b"hello"])):
                heard.clear()
                await links.change("a", silent=way)
                call.say(b"hello")
                await call.hears_nothing()
                assert heard == is_heard, way
                await links.heal("a")
                await call.hears(b"hello")
        await links.change("a", silent="up")
        async with dial(url) as late:
            late.say(b"who comes meanwhile waits too")
            await late.hears_nothing()
            await links.heal("a")
            await late.hears(b"who comes meanwhile waits too")


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_cut_link_ends_its_connections_and_refuses_others_until_it_heals(links: Links, how: str) -> None:
    async with echo([]) as port:
        url, other = await links.add("a", to(port)), await links.add("b", to(port))
        async with dial(url) as call, dial(other) as spared:
            for end in (call, spared):
                end.say(b"hi")
                await end.hears(b"hi")
            await links.change("a", cut=how, refuses=True)
            assert await call.ends() == how
            assert await is_refused(url)
            spared.say(b"still there")
            await spared.hears(b"still there")
        await links.heal("a")
        async with dial(url) as again:
            again.say(b"back")
            await again.hears(b"back")


async def test_what_ends_at_the_server_ends_at_the_client(links: Links) -> None:
    async with echo([]) as port:
        url = await links.add("a", to(port))
        async with dial(url) as call:
            call.say(b"hi")
            await call.hears(b"hi")
            call.writer.write_eof()
            assert await call.ends() == "close"
    assert await is_refused(url), "the server is away"


async def test_the_answer_to_a_committed_write_is_lost_and_that_to_a_read_is_not(
    links: Links, database_url: str
) -> None:
    direct = await asyncpg.connect(database_url)
    url = await links.add("a", database_url)
    await direct.execute("create table kept (n int)")
    through = await asyncpg.connect(url)
    insert = await through.prepare("insert into kept values ($1)")
    await links.change("a", loses=True)
    assert await through.fetchval("select count(*) from kept") == 0
    async with through.transaction():
        await through.fetchval("select 1")
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError)):
        await insert.fetch(1)
    assert await direct.fetchval("select array_agg(n) from kept") == [1]
    through = await asyncpg.connect(url)
    begun = through.transaction()
    await begun.start()
    await through.execute("insert into kept values (2)")
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError)):
        await begun.commit()
    assert await direct.fetchval("select array_agg(n order by n) from kept") == [1, 2], "committed, and nobody was told"
    assert await links.heal("a") == 2
    through = await asyncpg.connect(url)
    await through.execute("insert into kept values (3)")
    await through.close()
    await direct.close()


async def test_the_answer_of_redis_is_lost_after_it_did_what_it_was_asked(
    links: Links, redis: Redis, redis_url: str, redis_prefix: str
) -> None:
    key = f"{redis_prefix}:asked"
    async with Redis.from_url(await links.add("a", redis_url)) as through:
        assert await through.incr(key) == 1
        await links.change("a", loses=True)
        with pytest.raises(RedisError):
            await through.incr(key)

        async def is_done() -> bool:
            return int(await redis.get(key)) >= 2

        await until("it was done", is_done)
        assert await links.heal("a") >= 1
        assert int(await through.get(key)) >= 2


@pytest.mark.parametrize(
    "weather",
    [
        {"delay": 0.02},
        {"silent": "up"},
        {"silent": "down"},
        {"refuses": True, "cut": "reset"},
        {"refuses": True},
        {"loses": True},
    ],
    ids=str,
)
async def test_a_fault_counts_where_something_met_it_and_on_an_idle_link_it_does_not(
    links: Links, weather: dict[str, Any]
) -> None:
    heard: list[bytes] = []
    async with echo(heard) as port:
        url = await links.add("a", to(port))
        await links.change("a", **weather)
        assert await links.heal("a") == 0, "nobody was there"
        async with dial(url) as call:
            call.say(b"hello")
            await call.hears(b"hello")
            if "cut" not in weather:
                await links.change("a", **weather)
                assert await links.heal("a") == 0, "nobody said anything"
            await links.change("a", **weather)
            if "refuses" in weather:
                assert await is_refused(url)
            elif "cut" not in weather:
                call.say(b"again")
                await asyncio.sleep(HELD)
            assert await links.heal("a") > 0
            assert await links.heal("a") == 0, "that is over"
