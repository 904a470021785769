"""One trace from a client's POST over api and worker processes to the end of its run, as a collector receives it."""

import asyncio
import socket
from typing import Any

import aiohttp
import asyncpg
import pytest

from shared import accounts, agents
from shared.models import TokenKind
from shared.settings import Settings
from tests.collector import Collector, Kept, collecting
from tests.e2e.processes import Logged, running
from tests.service import Client, said
from tests.watch import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

TEXT = "the-words-of-a-user"
STRAY = "what-no-span-may-hold"


async def client_of(pool: asyncpg.Pool, session: aiohttp.ClientSession, url: str, agent: str) -> Client:
    account = await accounts.create_account(pool, agent)
    made = await accounts.create_token(pool, account.id, TokenKind.HUMAN_PAT)
    config = {"function": f"worker.runners.demo:{agent}"}
    row = await agents.create_agent(pool, account.id, agent, "python", config=config, published=True)
    return Client(session, url, account.id, made.token.id, made.secret.text, row.id)


async def begin(client: Client, text: str, traceparent: str) -> tuple[str, str]:
    """A thread and its run, whose POST is part of a trace."""
    reply = await client.call("POST", f"/agents/{client.agent}/threads", {"input": said(text)}, traceparent=traceparent)
    assert reply.status == 201, reply
    return reply.json["thread"]["id"], reply.json["run"]["id"]


async def reach(client: Client, thread: str, run: str, status: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.call("GET", f"/threads/{thread}/runs/{run}")).json
        return found if found["status"] == status else None

    return await until(look, timeout=30)


def parents(collector: Collector, trace: str) -> list[tuple[str, str, str]]:
    """Service, name and the parent's name of each span of a trace, in the order of their beginnings."""
    names = {span.id: span.name for span in collector.of(trace)}
    return [(span.service, span.name, names.get(span.parent, span.parent)) for span in collector.of(trace)]


async def test_one_trace_leads_from_the_post_to_the_end_of_the_run(settings: Settings, pool: asyncpg.Pool) -> None:
    handed, asked = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"
    caller = "b7ad6b7169203331"
    async with collecting() as collector, aiohttp.ClientSession() as session:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=of-the-collector",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "THREADMILL_DRAIN_TIMEOUT": "3",
            "THREADMILL_LOG_FORMAT": "json",
        }
        async with running(settings, "api", **variables) as api:
            echo = await client_of(pool, session, api.url, "echo")
            approve = await client_of(pool, session, api.url, "approve")
            async with running(settings, "worker", **variables) as first:
                thread, run = await begin(echo, f"/slow 3 {TEXT}", f"00-{handed}-{caller}-01")
                await reach(echo, thread, run, "running")
                await first.stop()
            async with running(settings, "worker", **variables) as second:
                await reach(echo, thread, run, "completed")
                await decide(pool, approve, asked, caller)
            await stray(echo, thread)
        check(collector, handed, asked, caller)
        assert {headers["x-key"] for headers in collector.headers} == {"of-the-collector"}
        sent = b"".join(collector.bodies)
        for secret in (TEXT, STRAY, f"/{thread}", echo.token, approve.token):
            assert secret.encode() not in sent
        strayed = [(span.name, span.attributes.get("http.response.status_code")) for span in collector.spans]
        send = "POST /api/v1/threads/{threadId}/events"
        assert {(send, 400), ("POST", 404), (send, 401)} <= set(strayed)
        on_lines([api, first, second], handed)


async def decide(pool: asyncpg.Pool, client: Client, trace: str, caller: str) -> None:
    """A run that waits for a permission, and gets it: both POSTs are of one trace."""
    thread, run = await begin(client, TEXT, f"00-{trace}-{caller}-01")
    await reach(client, thread, run, "waiting_input")
    request = str(await pool.fetchval("select id from permission_requests where state = 'pending'"))
    decision = {"type": "permission_decision", "requestId": request, "decision": "allow_once", "note": TEXT}
    reply = await client.send(thread, decision, traceparent=f"00-{trace}-{caller}-01")
    assert reply.status == 200, reply
    await reach(client, thread, run, "completed")


async def stray(client: Client, thread: str) -> None:
    """Words in a query, in headers, and in paths; with a token, and in its place."""
    headers = dict.fromkeys(("User_Agent", "Referer", "Cookie", "Idempotency_Key", "X_Forwarded_For", "X_Odd"), STRAY)
    asked = (
        (client, f"/threads/{thread}/events?token={STRAY}", 400),
        (client, f"/nothing/{STRAY}?token={client.token}", 404),
        (client.using(STRAY), f"/threads/{STRAY}/events", 401),
    )
    for who, path, status in asked:
        assert (await who.call("POST", path, {"events": []}, **headers)).status == status


def check(collector: Collector, handed: str, asked: str, caller: str) -> None:
    api, worker = "threadmill-api", "threadmill-worker"
    create = "POST /api/v1/agents/{agentId}/threads"
    assert parents(collector, handed) == [
        (api, create, caller),
        (api, "submit", create),
        (worker, "apply", "submit"),
        (worker, "run", "apply"),
        (worker, "run", "apply"),
    ]
    send = "POST /api/v1/threads/{threadId}/events"
    assert parents(collector, asked) == [
        (api, create, caller),
        (api, "submit", create),
        (worker, "apply", "submit"),
        (worker, "run", "apply"),
        (api, send, caller),
        (api, "submit", send),
        (worker, "apply", "submit"),
        (worker, "run", "apply"),
    ]
    ends = [[span.attributes["threadmill.run.end"] for span in collector.named(t, "run")] for t in (handed, asked)]
    assert ends == [["released", "completed"], ["waiting", "completed"]]
    assert not any(span.failed for span in collector.spans)
    for name in ("accept", "drain"):  # in traces of their own, with links
        linked = {link for span in collector.spans if span.name == name for link in span.links}
        assert {span.id for t in (handed, asked) for span in collector.named(t, "submit")} <= linked
    ids_of(collector.named(handed, create)[0], collector.named(handed, "run")[0])


def ids_of(post: Kept, run: Kept) -> None:
    """What a span is found by."""
    assert post.attributes["http.response.status_code"] == 201
    for name in ("request", "thread", "account", "batch"):
        assert post.attributes[f"threadmill.{name}.id"]
    assert run.attributes["threadmill.thread.id"] == post.attributes["threadmill.thread.id"]
    assert run.attributes["threadmill.run.id"]


def on_lines(processes: list[Logged], trace: str) -> None:
    """Every line is JSON; those that were said within a span name its trace."""
    told = [line for process in processes for line in process.told]
    assert {line["event"] for line in told} >= {"api listening", "worker started", "worker stopped"}
    assert not [line for line in told if line["level"] in ("error", "critical") and "crash" not in line["event"]]
    assert TEXT not in "".join(process.text for process in processes)
    assert trace not in {line.get("trace_id") for line in told if "run" not in line and "request_id" not in line}


@pytest.mark.long
async def test_a_collector_that_is_away_slows_nothing_and_stops_nothing(settings: Settings, pool: asyncpg.Pool) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # who connects is not even accepted, and hears nothing
    endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_MAX_QUEUE_SIZE": "64"}
    variables |= {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16", "THREADMILL_DRAIN_TIMEOUT": "2"}
    async with aiohttp.ClientSession() as session:
        async with running(settings, "api", **variables) as api, running(settings, "worker", **variables) as worker:
            client = await client_of(pool, session, api.url, "echo")
            thread = await client.new_thread()
            loop = asyncio.get_running_loop()
            began = loop.time()
            for n in range(100):
                assert (await client.send(thread, {"type": "user_interrupt"})).status == 200, n
            assert loop.time() - began < 10
            began = loop.time()
        assert loop.time() - began < 15  # two processes, one after the other
        lines = [line for process in (api, worker) for line in process.told if "logger" in line]
        assert len(lines) < 20, lines
    silent.close()
