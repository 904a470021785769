"""Links between the service and its servers that fail on command: `python -m tests.faults.proxy <port>`.

One process for all links, with a loop of its own, so that what it does costs the clients nothing. It is told what to do
on <port> of 127.0.0.1, in lines of JSON (`links.py` has the words). A link takes connections on a port of its own and
passes bytes on as they come. What it can do meanwhile: wait before it passes them on, hold them in one direction (what
was held goes on afterwards, as on a network that sends again), refuse and cut connections, and lose the answer to
whatever was just committed, with its connection. It counts what met that: a fault of a link on which nothing was said
is none. Refused here: changing a byte.
"""

import asyncio
import fcntl
import json
import socket
import struct
import sys
import termios
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.faults.commits import SPOKEN, Watch

HOST = "127.0.0.1"
UP, DOWN = "up", "down"  # from the service to its server; back
SILENT, FULL = "silent", "full"  # why nothing is read from a connection
_RESET = struct.pack("ii", 1, 0)  # linger for no time: a close is a reset


class Link:
    """All connections of one process to one server, and what becomes of them now."""

    def __init__(self, host: str, port: int, speaks: str) -> None:
        self.host, self.port, self._speaks = host, port, speaks
        self.sides: set[Side] = set()
        self.met = 0  # connections, words and answers that its weather did something to since it last healed
        self.heal()

    def heal(self) -> int:
        """Goes on as if nothing had been; returns how many connections, words or answers met what was."""
        met = self.met + sum(side.keeps_waiting for side in self.sides)
        self.met = 0
        self.change()
        return met

    def change(
        self, *, delay: float = 0.0, silent: str = "", refuses: bool = False, loses: bool = False, cut: str = ""
    ) -> None:
        """`delay` in seconds each way; `silent`: a direction; `cut`: `reset` or `close` what is open now."""
        self.delay, self.silent, self.refuses, self.loses = delay, silent, refuses, loses
        for side in list(self.sides):
            side.hold(SILENT, side.way == silent)
            if cut:
                self.met += 1
                side.end(reset=cut == "reset")

    def take(self) -> "Side":
        """A protocol for a new connection of the service."""
        watch = SPOKEN[self._speaks]()
        up, down = Side(self, UP, watch), Side(self, DOWN, watch)
        up.other, down.other = down, up
        return up


class Side(asyncio.Protocol):
    """One end of a connection. What is read here goes `way`, and is written at the other end."""

    other: "Side"

    def __init__(self, link: Link, way: str, watch: Watch) -> None:
        self.link, self.way, self._watch = link, way, watch
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._held: set[str] = set()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._over = False  # nothing more comes from here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.link.refuses or self.other._over:
            self.link.met += self.link.refuses
            self.end(reset=True)
            return
        self.link.sides.add(self)
        self.hold(SILENT, self.way == self.link.silent)
        if self.way == UP:
            self.hold(FULL, True)
            self._opening = asyncio.create_task(self._open())
        else:
            self.other.hold(FULL, False)

    async def _open(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self.other, self.link.host, self.link.port)
        except OSError:
            self.end(reset=True)  # the server is away: so is what stands for it

    def hold(self, why: str, held: bool) -> None:
        """Reads no more from here as long as there is a reason not to."""
        before = bool(self._held)
        (self._held.add if held else self._held.discard)(why)
        if self._transport is not None and not self._transport.is_closing() and before != bool(self._held):
            (self._transport.pause_reading if self._held else self._transport.resume_reading)()

    @property
    def keeps_waiting(self) -> bool:
        """Whether something was said here that is held by a silence."""
        if SILENT not in self._held or self._transport is None or self._transport.is_closing():
            return False
        unread = fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4))
        return any(unread)

    def data_received(self, data: bytes) -> None:
        if self.way == UP:
            self._watch.ask(data)
        elif self._watch.ends(data) and self.link.loses:
            self.link.met += 1
            self.end(reset=True)
            self.other.end(reset=True)
            return
        self.link.met += self.link.delay > 0
        now = asyncio.get_running_loop().time()
        if not self._queue and not self.link.delay:
            self.other.write(data)
            return
        self._queue.append((max(now + self.link.delay, self._queue[-1][0] if self._queue else 0.0), data))
        if len(self._queue) == 1:
            self._later()

    def _later(self) -> None:
        asyncio.get_running_loop().call_at(self._queue[0][0], self._pass_on)

    def _pass_on(self) -> None:
        self.other.write(self._queue.popleft()[1])
        if self._queue:
            self._later()
        elif self._over:
            self.other.end()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        self.other.hold(FULL, True)

    def resume_writing(self) -> None:
        self.other.hold(FULL, False)

    def connection_lost(self, _: Exception | None) -> None:
        self._over = True
        self.link.sides.discard(self)
        if not self._queue:
            self.other.end()

    def end(self, *, reset: bool = False) -> None:
        """Closes it once all is written, or resets it at once."""
        self._over = True
        if self._transport is None:
            return
        if reset:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._transport.close()


class Proxy:
    """The links by their names, and the words that change them."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    async def serve(self, port: int) -> None:
        server = await asyncio.start_server(self._talk, HOST, port)
        await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words: dict[str, Callable[..., Any]] = {"add": self._add, "change": self._change, "heal": self._heal}
        while line := await reader.readline():
            asked = json.loads(line)
            answer = await words[asked.pop("do")](**asked)
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    async def _add(self, name: str, host: str, port: int, speaks: str) -> int:
        """A new link; returns the port on which it takes connections."""
        link = self._links[name] = Link(host, port, speaks)
        server = await asyncio.get_running_loop().create_server(link.take, HOST, 0)
        return int(server.sockets[0].getsockname()[1])

    async def _change(self, name: str, **weather: Any) -> None:
        self._links[name].change(**weather)

    async def _heal(self, name: str) -> int:
        return self._links[name].heal()


if __name__ == "__main__":
    asyncio.run(Proxy().serve(int(sys.argv[1])))
