"""A receiver of webhooks on this machine, for tests: it keeps what came, and answers what it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Call:
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class Receiver:
    port: int = 0
    statuses: list[int] = field(default_factory=list)  # of the next answers; then 200
    headers: dict[str, str] = field(default_factory=dict)  # of every answer
    body: bytes = b""
    silent: bool = False  # it takes the request and answers nothing
    calls: list[Call] = field(default_factory=list)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def answer(self, request: web.Request) -> web.Response:
        self.calls.append(Call({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        if self.silent:
            await self._closing.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers=self.headers, body=self.body)

    def release(self) -> None:
        self._closing.set()


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.release()
        await runner.cleanup()
