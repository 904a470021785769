"""All URLs, on one page."""

from aiohttp import web

from api.handlers.cortex_runs import CortexRuns
from api.handlers.cortex_threads import CortexThreads
from api.handlers.document import Document
from api.handlers.events import Events
from api.handlers.health import Health
from api.handlers.runs import Runs
from api.handlers.stream import EventStream
from api.handlers.threads import Threads

AGENT = "/api/v1/agents/{agentId}"
THREAD = "/api/v1/threads/{threadId}"
CORTEX = "/api/v2/cortex"
CORTEX_AGENT = "/api/v2/databases/{database}/schemas/{schema}/agents/{name}"


def routes(
    threads: Threads, events: Events, stream: EventStream, runs: Runs, document: Document, health: Health
) -> list[web.RouteDef]:
    return [
        # First, because what follows is tried in this order and most requests are this one.
        web.post(f"{THREAD}/events", events.send),
        web.get(f"{THREAD}/events", events.list),
        web.post(f"{AGENT}/threads", threads.create),
        web.get(f"{AGENT}/threads", threads.list),
        web.get(THREAD, threads.read),
        web.delete(THREAD, threads.delete),
        web.post(f"{THREAD}/archive", threads.archive),
        web.post(f"{THREAD}/unarchive", threads.unarchive),
        web.get(f"{THREAD}/events/stream", stream.follow),
        web.get(f"{THREAD}/runs", runs.list),
        web.get(f"{THREAD}/runs/{{runId}}", runs.read),
        web.patch(f"{THREAD}/runs/{{runId}}", runs.edit),
        web.get("/api/v1/openapi.json", document.read),
        web.get("/healthz", health.live),
        web.get("/readyz", health.ready),
        web.get("/metrics", health.metrics),
    ]


def cortex_routes(threads: CortexThreads, runs: CortexRuns) -> list[web.RouteDef]:
    """Each with and without a slash behind it."""
    found: list[web.RouteDef] = []
    for slash in ("", "/"):
        found += [
            web.post(f"{CORTEX}/threads{slash}", threads.create),
            web.get(f"{CORTEX}/threads{slash}", threads.list),
            web.get(f"{CORTEX}/threads/{{id}}{slash}", threads.describe),
            web.post(f"{CORTEX}/threads/{{id}}{slash}", threads.update),
            web.delete(f"{CORTEX}/threads/{{id}}{slash}", threads.delete),
            web.post(f"{CORTEX}/agent:run{slash}", runs.of_default),
            web.post(f"{CORTEX_AGENT}:run{slash}", runs.of_named),
        ]
    return found
