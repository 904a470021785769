"""One open stream: how far its client has got, and what waits for it.

`waiting` holds all that the log has behind `since`, as long as there is room; where there is none, it is let go and
`since` moves up. A stream whose cursor lies before `since` is behind: it reads the log itself, at its client's pace.
So no client costs more than its queue, and none gets an event twice or misses one. Refused here: reading, writing.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from api.sse import Frame, Outlet
from shared.errors import ThreadmillError
from shared.ids import EventId, RunId, ThreadId, TokenId

FRAMES = 512  # that wait for one client
SIZE = 256 << 10  # bytes of them; one frame may be larger


@dataclass(slots=True, eq=False)
class Stream:
    partition: int
    thread: ThreadId
    token: TokenId
    outlet: Outlet
    cursor: EventId  # the last event sent, or passed over
    since: EventId  # the log behind it stands in `waiting`
    until: RunId | None = None  # the last event of this run is the stream's last
    brief: bool = False  # it ends once it has caught up
    caught_up: bool = False  # the log had nothing behind the cursor when it was read last
    spoke_at: float = 0.0  # of the loop's clock
    stopped: bool = False  # at once
    ended: bool = False  # once all that waits is sent
    error: ThreadmillError | None = None  # the last thing to be said
    waiting: deque[Frame] = field(default_factory=deque)
    _size: int = 0
    _silent: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def behind(self) -> bool:
        return self.cursor < self.since

    def push(self, frame: Frame) -> None:
        """One more event of the log."""
        size = self._size + len(frame.data)
        if len(self.waiting) >= FRAMES or (self.waiting and size > SIZE):
            self.waiting.clear()
            self._size, self.since = 0, frame.id
        else:
            self.waiting.append(frame)
            self._size = size
        self._wake.set()

    def take(self, most: int) -> list[Frame]:
        """What is to be sent next: about `most` bytes."""
        taken: list[Frame] = []
        while self.waiting and most > 0:
            frame = self.waiting.popleft()
            self._size -= len(frame.data)
            if frame.id > self.cursor:
                taken.append(frame)
                most -= len(frame.data)
        return taken

    def catch_up(self) -> None:
        """The log was read, and had nothing behind the cursor."""
        self.caught_up, self.cursor = True, max(self.cursor, self.since)

    def say_something(self) -> None:
        self._silent = True
        self._wake.set()

    def take_silence(self) -> bool:
        """Whether a comment is due."""
        silent, self._silent = self._silent, False
        return silent

    def now(self) -> float:
        """The loop's clock, of `spoke_at`."""
        return asyncio.get_running_loop().time()

    def end(self, error: ThreadmillError) -> None:
        """The stream's last word, behind what waits."""
        self.ended, self.error = True, error
        self._wake.set()

    def stop(self, error: ThreadmillError | None = None) -> None:
        """Ends the stream as soon as its client has what it is being sent."""
        self.stopped, self.error = True, error
        self._wake.set()

    async def wait(self) -> None:
        """Until there is something to do. Bounded by the hub, which says something after some seconds of silence."""
        await self._wake.wait()

    def settle(self) -> None:
        """What is found from here on wakes anew."""
        self._wake.clear()
