"""All URLs, on one page."""

from collections.abc import Mapping

from aiohttp import web

from api.console import agents, audit, filepages, pauses, queue, tokens, webhooks, workers
from api.console.console import Console
from api.console.deadletters import DISCARD, GROUPS, LETTER, LETTERS, REPLAY, SKIP
from api.console.deadletters import deed as settling
from api.console.login import Login
from api.console.output import Output
from api.console.overview import overview_page
from api.console.playground import PLAYGROUND, Playground
from api.console.runs import RUN, RUNS, Doings
from api.console.threads import HOLD, ONE_THREAD, RELEASE, THREADS
from api.handlers.cortex_runs import CortexRuns
from api.handlers.cortex_threads import CortexThreads
from api.handlers.document import Document
from api.handlers.events import Events
from api.handlers.files import Files
from api.handlers.health import Health
from api.handlers.openai_messages import Messages
from api.handlers.openai_runs import OpenAIRuns
from api.handlers.openai_threads import OpenAIThreads
from api.handlers.runs import Runs
from api.handlers.stream import EventStream
from api.handlers.threads import Threads
from api.operator import Decision

AGENT = "/api/v1/agents/{agentId}"
THREAD = "/api/v1/threads/{threadId}"
CORTEX = "/api/v2/cortex"
CORTEX_AGENT = "/api/v2/databases/{database}/schemas/{schema}/agents/{name}"
OPENAI = "/v1/threads/{threadId}"
_NOT_RUNS = "/v1/threads/{threadId:(?!runs$)[^{}/]+}"  # `/v1/threads/runs` takes a POST and nothing else


def routes(threads: Threads, events: Events, stream: EventStream, runs: Runs, health: Health) -> list[web.RouteDef]:
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
        web.get("/healthz", health.live),
        web.get("/readyz", health.ready),
        web.get("/metrics", health.metrics),
    ]


def file_routes(files: Files) -> list[web.RouteDef]:
    """Files of the native dialect."""
    return [
        web.post(f"{AGENT}/files", files.upload),
        web.get("/api/v1/files/{fileId}", files.read),
        web.delete("/api/v1/files/{fileId}", files.delete),
        web.get("/api/v1/files/{fileId}/content", files.content),
        web.get(f"{THREAD}/files", files.list),
        web.delete(f"{THREAD}/files/{{fileId}}", files.delete_of_thread),
    ]


def document_routes(documents: Mapping[str, Document]) -> list[web.RouteDef]:
    """What describes the service, each at its path."""
    return [web.get(path, document.read) for path, document in documents.items()]


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


def openai_routes(threads: OpenAIThreads, messages: Messages, runs: OpenAIRuns) -> list[web.RouteDef]:
    """Messages have two addresses: AIML's without a prefix, and OpenAI's."""
    return [
        web.post("/v1/threads", threads.create),
        web.post("/v1/threads/runs", runs.create_with_thread),
        web.get(_NOT_RUNS, threads.read),
        web.post(_NOT_RUNS, threads.edit),
        web.delete(_NOT_RUNS, threads.delete),
        *_messages("/threads/{threadId}/messages", messages),
        *_messages(f"{OPENAI}/messages", messages),
        web.post(f"{OPENAI}/runs", runs.create),
        web.get(f"{OPENAI}/runs", runs.list),
        web.get(f"{OPENAI}/runs/{{runId}}", runs.read),
        web.post(f"{OPENAI}/runs/{{runId}}/cancel", runs.cancel),
        web.post(f"{OPENAI}/runs/{{runId}}/submit_tool_outputs", runs.submit_tool_outputs),
    ]


def _messages(path: str, messages: Messages) -> list[web.RouteDef]:
    return [
        web.get(path, messages.list),
        web.post(path, messages.create),
        web.get(f"{path}/{{messageId}}", messages.read),
        web.post(f"{path}/{{messageId}}", messages.edit),
        web.delete(f"{path}/{{messageId}}", messages.delete),
    ]


def console_routes(console: Console, login: Login, doings: Doings, output: Output) -> list[web.RouteDef]:
    """The operator's pages. What has no page of its own is the console's to refuse, so that it is refused with one."""
    playground = Playground(console)
    return console.serves(
        [
            web.get("/", console.net(login.home)),
            web.get("/console/", console.net(login.home)),
            web.get("/console/static/{hash}/{name:.+}", console.files.read),
            web.get("/console/login", console.net(login.form)),
            web.post("/console/login", console.net(login.enter)),
            web.post("/console/logout", console.door(login.leave)),
            web.post("/console/theme", console.door(login.theme)),
            web.get("/console", console.page(overview_page())),
            *_dead_letters(console),
            *_threads(console),
            *_runs(console, doings, output),
            *_stored_files(console),
            web.get("/console/webhooks", console.page(webhooks.WEBHOOKS)),
            *console.deed("/console/webhooks/replay", webhooks.REPLAY_DEAD),
            web.get("/console/webhooks/{id}", console.page(webhooks.MESSAGE)),
            *console.deed("/console/webhooks/{id}/replay", webhooks.REPLAY),
            web.get("/console/agents", console.page(agents.AGENTS)),
            web.get("/console/agents/{id}", console.page(agents.AGENT)),
            *console.deed("/console/agents/{id}/publish", agents.PUBLISH),
            *console.deed("/console/agents/{id}/unpublish", agents.UNPUBLISH),
            web.get("/console/tokens", console.page(tokens.TOKENS)),
            *console.deed("/console/tokens/new", tokens.NEW),
            *console.deed("/console/tokens/{id}/revoke", tokens.REVOKE),
            web.get("/console/audit", console.page(audit.AUDIT)),
            web.get("/console/playground", console.page(PLAYGROUND)),
            web.get("/console/playground/accounts", console.door(playground.accounts)),
            web.get("/console/playground/agents", console.door(playground.agents)),
            web.post("/console/playground/token", console.door(playground.lend)),
            web.post("/console/playground/return", console.door(playground.take_back)),
            web.get("/console/queue", console.page(queue.QUEUE)),
            web.get("/console/queue/accounts", console.page(queue.ACCOUNTS)),
            web.get("/console/queue/accounts/find", console.page(queue.ACCOUNT)),
            web.get("/console/queue/accounts/{account}", console.page(queue.ACCOUNT)),
            web.get("/console/queue/batches", console.page(queue.BATCHES)),
            web.get("/console/queue/batches/find", console.page(queue.BATCH)),
            web.get("/console/queue/batches/{batch}", console.page(queue.BATCH)),
            *(route for path, deed in pauses.DEEDS.items() for route in console.deed(path, deed)),
            web.get("/console/workers", console.page(workers.WORKERS)),
            *(route for path, deed in workers.DEEDS.items() for route in console.deed(path, deed)),
            web.route("*", "/console", console.door(console.unknown)),
            web.route("*", "/console/{rest:.*}", console.door(console.unknown)),
        ]
    )


def _dead_letters(console: Console) -> list[web.RouteDef]:
    return [
        web.get("/console/dead", console.page(GROUPS)),
        web.get("/console/dead/list", console.page(LETTERS)),
        *console.deed("/console/dead/replay", settling(REPLAY)),
        *console.deed("/console/dead/discard", settling(DISCARD)),
        *console.deed("/console/dead/skip", settling(SKIP)),
        web.get("/console/dead/{id}", console.page(LETTER)),
    ]


def _threads(console: Console) -> list[web.RouteDef]:
    return [
        web.get("/console/threads", console.page(THREADS)),
        web.get("/console/threads/{id}", console.page(ONE_THREAD)),
        *console.deed("/console/threads/{id}/hold", HOLD),
        *console.deed("/console/threads/{id}/release", RELEASE),
    ]


def _stored_files(console: Console) -> list[web.RouteDef]:
    return [
        web.get("/console/files", console.page(filepages.FILES)),
        web.get("/console/files/accounts", console.page(filepages.OWNERS)),
        *console.deed("/console/files/delete", filepages.DELETE),
        web.get("/console/files/{id}", console.page(filepages.FILE)),
    ]


def _runs(console: Console, doings: Doings, output: Output) -> list[web.RouteDef]:
    run = "/console/runs/{thread}/{run}"
    return [
        web.get("/console/runs", console.page(RUNS)),
        web.get(run, console.page(RUN)),
        web.get(f"{run}/output", output.follow),
        *console.deed(f"{run}/interrupt", doings.interrupt()),
        *console.deed(f"{run}/retry", doings.retry()),
        *console.deed(f"{run}/requests/{{request}}/allow", doings.decide(Decision.ALLOW)),
        *console.deed(f"{run}/requests/{{request}}/reject", doings.decide(Decision.REJECT)),
    ]
