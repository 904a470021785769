"""The baseline's api: checks the token and the batch, enqueues one arq job, answers.

`python -m bench.baseline.ingress`, with `REDIS_URL`, `BENCH_PORT` and `BENCH_TOKEN` in the environment.
"""

import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import uvloop
from aiohttp import web
from arq.connections import ArqRedis
from pydantic import ValidationError
from pydantic_core import to_json

from bench.baseline.queue import open_queue
from bench.baseline.wire import Batch
from shared import ids
from shared.documents import moment

QUEUE: web.AppKey[ArqRedis] = web.AppKey("queue", ArqRedis)
DIGEST: web.AppKey[bytes] = web.AppKey("digest", bytes)


def _authentic(request: web.Request) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    digest = hashlib.sha256(token.encode()).digest()
    return scheme == "Bearer" and hmac.compare_digest(digest, request.app[DIGEST])


def _refuse(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


async def send_events(request: web.Request) -> web.Response:
    """200 with the batch as it was queued; 400 and 401 in the service's envelope."""
    if not _authentic(request):
        return _refuse(401, "unauthenticated", "The token is missing or unknown.")
    if (thread := ids.parse(request.match_info["thread"])) is None:
        return _refuse(400, "invalid_request", "The thread id is malformed.")
    try:
        batch = Batch.model_validate_json(await request.read())
    except ValidationError as error:
        return _refuse(400, "invalid_request", error.errors()[0]["msg"])
    accepted_at = datetime.now(UTC)
    events = [event.model_dump(by_alias=True, exclude_none=True) for event in batch.events]
    await request.app[QUEUE].enqueue_job("apply_batch", thread, events, accepted_at.timestamp(), _job_id=ids.mint())
    answer = {"acceptedAt": moment(accepted_at), "events": events, "thread": {"id": thread}, "warnings": []}
    return web.Response(body=to_json(answer), content_type="application/json")


async def ready(request: web.Request) -> web.Response:
    await request.app[QUEUE].ping()
    return web.Response(text="ready")


async def _queue(app: web.Application) -> AsyncIterator[None]:
    app[QUEUE] = await open_queue(os.environ["REDIS_URL"])
    yield
    await app[QUEUE].aclose()


def application() -> web.Application:
    app = web.Application(client_max_size=1 << 20)
    app[DIGEST] = hashlib.sha256(os.environ["BENCH_TOKEN"].encode()).digest()
    app.cleanup_ctx.append(_queue)
    app.router.add_get("/readyz", ready)
    app.router.add_post("/api/v1/threads/{thread}/events", send_events)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(application(), host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), access_log=None, print=None)
