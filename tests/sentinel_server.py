"""A server that talks as a sentinel does, and says what a test wants: real ones take seconds to change their mind."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared.redis_urls import Address

NAME = "mymaster"


@dataclass(slots=True)
class Answers:
    """What it says; `mute`: nothing; `odd`: these bytes to such a question; `late`: seconds behind each read."""

    master: Address | None
    epoch: int = 1
    flags: str = "master"
    replicas: int = 1
    mute: bool = False
    password: str = ""
    asked: int = 0
    port: int = 0
    late: float = 0.0
    odd: Mapping[str, bytes] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        allowed = not self.password
        came = asyncio.StreamReader()
        passing = asyncio.create_task(self._pass_on(reader, came))
        try:
            while words := await _command(came):
                self.asked += 1
                if self.mute:
                    await came.read()  # until the other end gives up
                    break
                if words[0] in self.odd:
                    writer.write(self.odd[words[0]])
                elif words[0] == "AUTH":
                    allowed = words[-1] == self.password
                    writer.write(b"+OK\r\n" if allowed else b"-WRONGPASS no\r\n")
                elif not allowed:
                    writer.write(b"-NOAUTH Authentication required.\r\n")
                else:
                    writer.write(self.odd.get(words[1]) or self._answer(words))
        finally:
            passing.cancel()
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, came: asyncio.StreamReader) -> None:
        """What was read, `late`: as a sentinel hears it that is far off."""
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await asyncio.sleep(self.late)
                came.feed_data(data)
        came.feed_eof()

    def _answer(self, words: list[str]) -> bytes:
        if self.master is None or words[2] != NAME:
            return b"*-1\r\n" if words[1] == "GET-MASTER-ADDR-BY-NAME" else b"-ERR No such master with that name\r\n"
        if words[1] == "GET-MASTER-ADDR-BY-NAME":
            return _array(self.master)
        told = {"flags": self.flags, "config-epoch": self.epoch, "num-slaves": self.replicas}
        return _array([word for pair in told.items() for word in pair])


@asynccontextmanager
async def sentinel(
    master: Address | None, tls: ssl.SSLContext | None = None, **given: object
) -> AsyncIterator[Answers]:
    answers = Answers(master, **given)  # type: ignore[arg-type]  # a test's
    server = await asyncio.start_server(answers.serve, "127.0.0.1", 0, ssl=tls)
    answers.port = server.sockets[0].getsockname()[1]
    try:
        yield answers
    finally:
        server.close()


def place_of(redis_url: str) -> Address:
    """The tests' Redis."""
    parts = urlsplit(redis_url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def url_of(redis_url: str, answers: Sequence[Answers], more: str = "") -> str:
    """Of a client that asks them."""
    login = urlsplit(redis_url).netloc.rpartition("@")[0]
    hosts = ",".join(f"127.0.0.1:{one.port}" for one in answers)
    return f"redis+sentinel://{login}@{hosts}/{NAME}/0{more}"


async def _command(reader: asyncio.StreamReader) -> list[str]:
    """An array of bulk strings; empty at the end."""
    head = await reader.readline()
    words = []
    for _ in range(int(head[1:] or 0)):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2].decode())
    return words


def _array(words: object) -> bytes:
    texts = [str(word).encode() for word in words]  # type: ignore[attr-defined]  # of two sorts
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)
