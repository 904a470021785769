"""Live parts of pages: each is rendered once a second for all who watch it, and sent to them when it changed.

What is sent is always the whole part, so a viewer that reads slowly misses pieces and never falls behind; one that does
not read is cut off. The first piece is sent whatever it is: what a browser shows that comes back is not known here. A
topic's loop begins with its first viewer and ends with its last one. Refused here: knowing who may watch.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

import structlog
from markupsafe import Markup

from api.console.seats import Seats, TooManyWindows
from api.console.servers import LOOKS
from api.sse import COMMENT, Outlet
from shared import tasks
from shared.errors import InternalError, ThreadmillError
from shared.logs import Seldom

log = structlog.get_logger()

EVERY = 1.0  # seconds between two looks
SHARE = 4  # times as long as a look took is rested behind it: what watches costs a fifth of a connection at most
CHECK = 5.0  # seconds between two looks at whether a viewer's session goes on
SILENCE = 15.0  # seconds after which a comment is sent
_UNSURE = "Nobody can tell at this moment whether your login goes on: this page stands still."
OVER = b"event: over\ndata: session\n\n"

Render = Callable[[], Awaitable[Markup]]
GoesOn = Callable[[], Awaitable[bool | None]]  # None: nobody can know at this moment


@dataclass(slots=True, eq=False)
class Viewer:
    outlet: Outlet
    owner: Hashable
    has: str = ""  # digest of the part that it was sent
    joined: float = field(default_factory=time.monotonic)  # behind the page that it shows
    unsure: bool = False  # nobody knew at the last look whether its session goes on: it is sent that alone
    ousted: bool = False  # somebody who has fewer has its place
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def leave(self) -> None:
        self.ousted = True
        self.outlet.cut()
        self.wake.set()


@dataclass(slots=True, eq=False)
class Topic:
    render: Render
    viewers: set[Viewer] = field(default_factory=set)
    frame: bytes = b""
    digest: str = ""
    begun: float = float("-inf")  # when the latest look at it began
    task: asyncio.Task[None] | None = None


class Live:
    def __init__(self, seats: Seats) -> None:
        self._topics: dict[Hashable, Topic] = {}
        self._seats = seats
        self._looks = asyncio.Semaphore(LOOKS)
        self._stopped = False
        self._complain = Seldom(log)

    @property
    def topics(self) -> int:
        return len(self._topics)

    def stop(self) -> None:
        """Every stream ends as soon as its viewer has what it is being sent."""
        self._stopped = True
        for topic in self._topics.values():
            for viewer in topic.viewers:
                viewer.outlet.cut()
                viewer.wake.set()

    async def close(self) -> None:
        self.stop()
        await tasks.end([topic.task for topic in self._topics.values() if topic.task is not None])

    async def follow(self, key: Hashable, render: Render, viewer: Viewer, goes_on: GoesOn) -> None:
        """Sends the part of `key` until its viewer goes, its session is over, or the process ends. Raises
        ConnectionError, TooManyViewers.
        """
        with self._seats.one(viewer.owner, viewer.leave):
            await self._join(key, render, viewer, goes_on)

    async def _join(self, key: Hashable, render: Render, viewer: Viewer, goes_on: GoesOn) -> None:
        topic = self._topics.setdefault(key, Topic(render))
        topic.viewers.add(viewer)
        if topic.task is None:
            topic.task = asyncio.create_task(self._watch(topic), name="console live")
        try:
            await self._feed(topic, viewer, goes_on)
        finally:
            topic.viewers.discard(viewer)
            if not topic.viewers and self._topics.get(key) is topic:
                del self._topics[key]
                await tasks.end([topic.task])

    async def _feed(self, topic: Topic, viewer: Viewer, goes_on: GoesOn) -> None:
        checked = spoke = time.monotonic()
        while not self._stopped and not viewer.outlet.closed:
            viewer.wake.clear()
            if viewer.ousted:
                raise TooManyWindows
            # An older look would set a page that was loaded behind a deed back to what was before it.
            if topic.begun >= viewer.joined and topic.digest != viewer.has and not viewer.unsure:
                viewer.has = topic.digest
                await viewer.outlet.send(topic.frame)
                spoke = time.monotonic()
                continue
            try:
                async with asyncio.timeout(CHECK):
                    await viewer.wake.wait()
            except TimeoutError:
                pass
            now = time.monotonic()
            if now - checked >= CHECK:
                checked = now
                if await _over(viewer, goes_on):
                    return
            if now - spoke >= SILENCE:
                await viewer.outlet.send(COMMENT)
                spoke = now

    async def _watch(self, topic: Topic) -> None:
        """Looks until it is cancelled."""
        while True:
            async with self._looks:
                begun = time.monotonic()
                frame, digest = await self._look(topic)
            topic.frame, topic.digest, topic.begun = frame, digest, begun
            for viewer in topic.viewers:
                if viewer.has != digest:
                    viewer.wake.set()
            took = time.monotonic() - begun
            await asyncio.sleep(max(EVERY - took, SHARE * took))

    async def _look(self, topic: Topic) -> tuple[bytes, str]:
        """The frame to send, and its digest. What fails is told in the page: it stays as it is, and says so."""
        try:
            part = await topic.render()
        except ThreadmillError as error:
            return _event("trouble", error.message), _digest_of(f"trouble {error.message}")
        except Exception as error:  # whatever it is, the page says that it stands still, and the log why
            self._complain("a live part failed", exc_info=error)
            return _event("trouble", InternalError().message), _digest_of("trouble")
        return _event("trouble", "") + _event("part", part), _digest_of(part)


async def _over(viewer: Viewer, goes_on: GoesOn) -> bool:
    """Whether its session is over: it is told so, and once where nobody knows."""
    known = await goes_on()
    if known is False:
        await viewer.outlet.send(OVER)
    elif known is None and not viewer.unsure:
        viewer.has = ""  # the part is sent once somebody knows, which takes the trouble away
        await viewer.outlet.send(_event("trouble", _UNSURE))
    viewer.unsure = known is None
    return known is False


def _digest_of(part: str) -> str:
    return hashlib.sha256(part.encode()).hexdigest()[:16]


def _event(name: str, text: str) -> bytes:
    """`text` as it is where it is markup, escaped where it is not."""
    lines = str(Markup.escape(text)).splitlines() or [""]
    data = "".join(f"data: {line}\n" for line in lines)
    return f"event: {name}\n{data}\n".encode()
