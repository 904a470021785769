"""What a child prints, standard output and error alike, as lines of the worker's log.

Refused: a line without end, and more lines than a log can bear: the child waits for its own prints then.
"""

import asyncio
import os

import structlog

log = structlog.get_logger()

CHUNK = 16 << 10  # bytes read at once
WIDTH = 2_000  # bytes of a line that are logged
BURST = 100  # lines that are logged before a pause
PAUSE = 0.1  # seconds; with BURST, 1,000 lines a second


class Prints:
    """The reading end of a pipe. `run`: whose prints they are."""

    def __init__(self, stream: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.run: str | None = None
        self._stream = stream
        self._transport = transport
        self._task = asyncio.create_task(self._log(), name="a child's prints")

    @classmethod
    async def open(cls, descriptor: int) -> "Prints":
        """Takes the descriptor over."""
        stream = asyncio.StreamReader(limit=CHUNK)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", 0)
        )
        return cls(stream, transport)

    async def close(self, timeout: float) -> None:
        """Logs what is left, at most `timeout` seconds: a process that left its group may hold the pipe open."""
        await asyncio.wait((self._task,), timeout=timeout)
        self.drop()

    def drop(self) -> None:
        self._task.cancel()
        self._transport.close()

    async def _log(self) -> None:
        line, count = b"", 0
        while data := await self._stream.read(CHUNK):
            first, *others = data.split(b"\n")
            line = (line + first)[:WIDTH]
            for other in others:
                count += self._say(line)
                line = other[:WIDTH]
                if count >= BURST:
                    count = 0
                    await asyncio.sleep(PAUSE)
        self._say(line)

    def _say(self, line: bytes) -> bool:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            log.info("a runner printed", run=self.run, line=text)
        return bool(text)
