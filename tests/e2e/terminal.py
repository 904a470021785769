"""`threadmill` at a pseudo-terminal, as its user sits there."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Terminal:
    """A process at a pseudo-terminal, what it wrote so far, and a keyboard."""

    def __init__(self, process: asyncio.subprocess.Process, keyboard: int, screen: asyncio.StreamReader) -> None:
        self._process, self._keyboard, self._screen = process, keyboard, screen
        self._seen = ""

    async def until(self, text: str) -> str:
        """Waits until it has written the text, behind what was waited for before; what stood before it."""
        async with asyncio.timeout(20):
            while text not in self._seen:
                piece = await self._screen.read(4096)
                assert piece, self._seen
                self._seen += piece.decode()
        before, _, self._seen = self._seen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def ended(self) -> int:
        async with asyncio.timeout(20):
            return await self._process.wait()


@asynccontextmanager
async def at_terminal(environment: dict[str, str], *arguments: str) -> AsyncIterator[Terminal]:
    """`threadmill` with a keyboard; what it writes comes through a pipe."""
    keyboard, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from deploy.cli import main; main()", *arguments),
        env={**os.environ, **environment},
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    os.close(theirs)
    assert process.stdout is not None
    try:
        yield Terminal(process, keyboard, process.stdout)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(keyboard)
