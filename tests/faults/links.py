"""The proxy of `proxy.py` as a process, and what it is told: one link for each process of the service and server."""

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from deploy import children, ports
from deploy.children import Command, Process
from tests.faults.waiting import until

ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Links:
    """Leaving the context ends the proxy, and every connection through it."""

    log: Path
    _process: Process | None = None
    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __aenter__(self) -> Self:
        port = ports.pick()
        argv = (sys.executable, "-m", "tests.faults.proxy", str(port))
        self._process = children.spawn(Command("proxy", argv, env={"PYTHONPATH": str(ROOT)}, log=self.log))
        await until("the proxy listens", lambda: self._connect(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._writer is not None
        self._writer.close()
        self._process.kill()
        await children.exited(self._process)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def add(self, name: str, url: str) -> str:
        """A link to the server of `url`, `postgresql://` or `redis://`; the url that leads through it."""
        parts = urlsplit(url)
        speaks = "redis" if parts.scheme == "redis" else "postgres"
        port = await self._tell(do="add", name=name, host=parts.hostname, port=parts.port, speaks=speaks)
        who, _, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{who}@127.0.0.1:{port}").geturl()

    async def change(self, name: str, **weather: Any) -> None:
        """From now on: `delay` (seconds each way), `silent` (`up`, `down`), `refuses`, `loses`; `cut` what is open."""
        await self._tell(do="change", name=name, **weather)

    async def heal(self, name: str) -> int:
        """As it should be again, for new connections and those that are left; how many connections, words or answers
        met what was.
        """
        return int(await self._tell(do="heal", name=name))

    async def _connect(self, port: int) -> bool:
        try:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        return True

    async def _tell(self, **words: Any) -> Any:
        assert self._reader is not None
        assert self._writer is not None
        async with self._turn:
            self._writer.write(json.dumps(words).encode() + b"\n")
            return json.loads(await self._reader.readline())
