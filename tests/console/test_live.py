"""Live parts: rendered once for all who watch, sent when they change, ended in time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from markupsafe import Markup

from api.console import live as module
from api.console import seats
from api.console.live import Live, Viewer
from api.console.seats import Seats, TooManyViewers
from api.sse import CONNECTED, Outlet
from shared.errors import NotFound
from tests.watch import until


@dataclass(slots=True)
class Stage:
    """A server with one live part, of which it is known how often it was rendered."""

    seats: Seats = field(default_factory=Seats)
    live: Live = field(init=False)
    part: str = "first"
    renders: int = 0
    asked: int = 0  # whether somebody's session goes on
    gone: bool = False
    known: bool | None = True  # whether its viewers' sessions go on
    url: str = ""

    def __post_init__(self) -> None:
        self.live = Live(self.seats)

    async def render(self) -> Markup:
        self.renders += 1
        if self.gone:
            raise NotFound("It is gone: <b>.")
        return Markup("<p>{}</p>\n<p>second line</p>").format(self.part)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        writer = await response.prepare(request)
        assert writer is not None
        assert request.transport is not None
        outlet = Outlet(writer, request.transport)
        await outlet.send(CONNECTED)
        try:
            await self.live.follow(
                request.path, self.render, Viewer(outlet, request.query.get("owner", "")), self.goes_on
            )
        except TooManyViewers:
            await outlet.send(b"event: full\n\n")
        return response

    async def goes_on(self) -> bool | None:
        self.asked += 1
        return self.known


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    stage, app = Stage(), web.Application()
    app.router.add_get("/{name}", stage.serve)
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stage.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stage
    finally:
        await stage.live.close()
        await runner.cleanup()


async def event(stream: aiohttp.ClientResponse) -> tuple[str, list[str]]:
    """The next event: its name and the lines of its data."""
    async with asyncio.timeout(5):
        lines = [(await stream.content.readline()).decode().rstrip("\n")]
        while lines[-1] or len(lines) == 1:
            lines.append((await stream.content.readline()).decode().rstrip("\n"))
    if lines[0].startswith(":"):
        return await event(stream)
    return lines[0].removeprefix("event: "), [line.removeprefix("data: ") for line in lines[1:-1]]


async def test_a_part_is_rendered_once_for_all_and_sent_when_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK", 0.2)
    monkeypatch.setattr(module, "EVERY", 0.2)
    async with staged() as stage, aiohttp.ClientSession() as session:
        streams = [await session.get(f"{stage.url}/part") for _ in range(5)]
        for stream in streams:
            assert await event(stream) == ("trouble", [""])
            assert await event(stream) == ("part", ["<p>first</p>", "<p>second line</p>"])
        begun = stage.renders
        stage.part = "other"
        for stream in streams:
            assert await event(stream) == ("trouble", [""])
            assert await event(stream) == ("part", ["<p>other</p>", "<p>second line</p>"])
        assert stage.renders - begun <= 3  # not one for each of them
        stage.gone = True
        assert await event(streams[0]) == ("trouble", ["It is gone: &lt;b&gt;."])
        assert len(stage.seats) == 5
        for stream in streams:
            stream.close()

        async def nobody() -> bool:
            return not len(stage.seats) and not stage.live.topics

        assert await until(nobody)


async def test_who_comes_is_sent_no_look_from_before_and_what_there_is_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.5)
    async with staged() as stage, aiohttp.ClientSession() as session:
        first = await session.get(f"{stage.url}/part")
        assert [(await event(first))[0] for _ in range(2)] == ["trouble", "part"]
        stage.part = "behind a deed"  # which the page of the second one shows
        second = await session.get(f"{stage.url}/part")
        seen = [[""], ["<p>behind a deed</p>", "<p>second line</p>"]]
        for stream in (first, second):
            assert [(await event(stream))[1] for _ in range(2)] == seen
        second.close()
        again = await session.get(f"{stage.url}/part")  # nothing changed, but who knows what it shows
        assert [(await event(again))[1] for _ in range(2)] == seen
        stage.part = "later"
        for stream in (first, again):
            assert [(await event(stream))[1] for _ in range(2)] == [[""], ["<p>later</p>", "<p>second line</p>"]]
            stream.close()


async def test_a_viewer_of_whom_nobody_knows_is_told_so_and_sent_nothing_until_somebody_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHECK", 0.05)
    monkeypatch.setattr(module, "EVERY", 0.05)
    async with staged() as stage, aiohttp.ClientSession() as session:
        stream = await session.get(f"{stage.url}/part")
        assert await event(stream) == ("trouble", [""])
        assert (await event(stream))[0] == "part"

        async def passed(count: Callable[[], int]) -> None:
            before = count()

            async def more() -> bool:
                return count() > before + 1

            await until(more)

        stage.known = None
        name, told = await event(stream)
        assert (name, "stands still" in told[0]) == ("trouble", True)
        await passed(lambda: stage.asked)
        stage.part = "secret"
        await passed(lambda: stage.renders)
        await passed(lambda: stage.asked)
        stage.part = "later"
        await passed(lambda: stage.renders)
        stage.known = True
        assert await event(stream) == ("trouble", [""])
        assert await event(stream) == ("part", ["<p>later</p>", "<p>second line</p>"])
        stage.known = None
        assert (await event(stream))[0] == "trouble"
        stage.known = True  # and nothing changed meanwhile: the page shows again that it is live
        assert await event(stream) == ("trouble", [""])
        assert (await event(stream))[0] == "part"
        stage.known = False
        assert await event(stream) == ("over", ["session"])
        stream.close()


async def test_viewers_are_bounded_and_end_at_once_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "MOST", 2)
    async with staged() as stage, aiohttp.ClientSession() as session:
        streams = [await session.get(f"{stage.url}/{n}") for n in range(2)]
        for stream in streams:
            assert (await event(stream))[0] == "trouble"
        assert (await event(await session.get(f"{stage.url}/3")))[0] == "full"
        stage.live.stop()
        async with asyncio.timeout(1):
            for stream in streams:
                await stream.content.read()


async def test_nobody_takes_all_places_and_who_has_most_gives_his_oldest_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats, "MOST", 4)
    monkeypatch.setattr(seats, "MOST_OF_ONE", 3)
    async with staged() as stage, aiohttp.ClientSession() as session:
        streams: list[aiohttp.ClientResponse] = []

        async def watch(owner: str) -> str:
            """The first event."""
            streams.append(await session.get(f"{stage.url}/part?owner={owner}"))
            return (await event(streams[-1]))[0]

        assert [await watch("greedy") for _ in range(3)] == ["trouble"] * 3
        assert await watch("greedy") == "full"  # it has as many as one may have
        assert [await watch("modest") for _ in range(2)] == ["trouble"] * 2  # the second one when all places are taken
        async with asyncio.timeout(5):
            assert (await streams[0].content.read()).endswith(b"event: full\n\n")
        assert (len(stage.seats), await watch("greedy")) == (4, "full")  # it has no fewer than the other
        assert (await watch("third"), len(stage.seats)) == ("trouble", 4)
        for stream in streams:
            stream.close()
