"""A wire to a server that can be cut: forwards bytes on a free port, and loses an answer, or all, when told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Wire:
    host: str
    port: int
    url: str = ""
    lost: int = 0  # answers so far
    _markers: tuple[
        bytes, ...
    ] = ()  # what requests of one connection hold, one after the other, till an answer is lost
    _found: dict[int, int] = field(default_factory=dict)  # connection -> how many of them it had
    _doomed: set[int] = field(default_factory=set)  # connections whose next answer is lost
    _open: set[asyncio.StreamWriter] = field(default_factory=set)  # connections, by their way to the server
    _silent: set[asyncio.StreamWriter] = field(default_factory=set)  # those that pass on nothing any more
    _mute: bool = False  # whether new ones fall silent too

    def lose_answer_to(self, *markers: bytes) -> None:
        """Cuts a connection instead of passing on the answer to the next request that holds the last of `markers`,
        behind requests of the same connection that held the others, in this order.
        """
        self._markers = markers
        self._found.clear()

    def fall_silent(self, *, for_good: bool = False) -> None:
        """Every connection stays open and passes on nothing more, in either direction; new ones too where it is
        `for_good`."""
        self._silent |= self._open
        self._mute = for_good

    def cut(self) -> None:
        """Every connection ends, whatever is under way on it; new ones are taken as ever."""
        for back in self._open:
            back.transport.abort()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.host, self.port)
        self._open.add(back)
        if self._mute:
            self._silent.add(back)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask(reader, back))
                group.create_task(self._answer(there, writer, back))
        except* ConnectionError:
            pass  # one side is gone: so is the other
        finally:
            self._open.discard(back)
            self._silent.discard(back)
            writer.close()
            back.close()

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if back in self._silent:
                continue
            if self._dooms(id(back), data):
                self._doomed.add(id(back))
            back.write(data)
            await back.drain()
        raise ConnectionResetError

    def _dooms(self, connection: int, data: bytes) -> bool:
        """Whether this is the request whose answer is to be lost: once."""
        found = self._found.get(connection, 0)
        if not self._markers or self._markers[found] not in data:
            return False
        self._found[connection] = found + 1
        if found + 1 < len(self._markers):
            return False
        self._markers = ()
        return True

    async def _answer(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while data := await there.read(1 << 16):
            if back in self._silent:
                continue
            if id(back) in self._doomed:
                self._doomed.discard(id(back))
                self.lost += 1
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        if back not in self._silent:  # who falls silent does not say either that it is gone
            raise ConnectionResetError


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """A wire to the server of `url`; its own `url` leads through it."""
    parts = urlsplit(url)
    wire = Wire(parts.hostname or "", parts.port or 0)
    server = await asyncio.start_server(wire.connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire.url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
    try:
        yield wire
    finally:
        server.close()
