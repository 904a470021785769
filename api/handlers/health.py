"""Whether the process lives, whether it can serve, and its figures. No token."""

import asyncio

import asyncpg
from aiohttp import web

from api import replies
from shared.db.connect import AWAY as POSTGRES_AWAY
from shared.db.migrate import SchemaTooNew, SchemaTooOld, check
from shared.exposition import exposition
from shared.redis_state import RedisState

_TIMEOUT = 1.0  # seconds for Postgres, as for Redis; who asks this asks every few seconds


class Health:
    def __init__(self, pool: asyncpg.Pool, redis: RedisState) -> None:
        self._pool = pool
        self._redis = redis
        self._draining = False

    def drain(self) -> None:
        """From now on the process is not ready: it ends."""
        self._draining = True

    async def live(self, _: web.Request) -> web.Response:
        """GET /healthz: the process answers; its servers may be away."""
        return replies.document({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        """GET /readyz: 200 where batches are accepted; `status` is degraded where Redis takes no wake-ups."""
        postgres, redis = await asyncio.gather(self._postgres(), self._redis.get())
        serving = postgres == "ok" and not self._draining
        status = ("ready" if redis == "ok" else "degraded") if serving else "unavailable"
        return replies.document({"status": status, "postgres": postgres, "redis": redis}, 200 if serving else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics, as Prometheus reads them."""
        body, content_type = exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _postgres(self) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT), self._pool.acquire(timeout=_TIMEOUT) as connection:
                await check(connection)
        except SchemaTooOld as error:
            return str(error)
        except SchemaTooNew:  # refused at the start; who runs already goes on, or an upgrade would end all of them
            return "ok"
        except POSTGRES_AWAY:
            return "away"
        return "ok"
