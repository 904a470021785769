"""`python -m tests.soak.leaking api`: an api that keeps something of every tenth request. The soak must find it."""

import asyncio
import runpy
import socket
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

import api.app
from api.tracing import Tracing
from shared.settings import Settings

EVERY = 10  # requests
BYTES = 50_000
kept: list[tuple[object, ...]] = []


@web.middleware
async def leak(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    leak.requests += 1  # type: ignore[attr-defined]  # a count of its own
    if leak.requests % EVERY == 0:  # type: ignore[attr-defined]  # as above
        forgotten = asyncio.create_task(asyncio.Event().wait())
        kept.append((forgotten, socket.socket(), bytes(BYTES)))
    return await handler(request)


leak.requests = 0  # type: ignore[attr-defined]  # as above
_create = api.app.create_app


async def _create_leaking(settings: Settings, tracing: Tracing | None = None) -> web.Application:
    app = await _create(settings, tracing)
    app.middlewares.append(leak)
    return app


if __name__ == "__main__":
    api.app.create_app = _create_leaking
    sys.argv = sys.argv[1:]
    runpy.run_module("api", run_name="__main__", alter_sys=True)
