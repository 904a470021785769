"""Rows 15 and 19 of the list of faults: a client that goes away, a thread that goes away."""

import asyncio
import json
from urllib.parse import urlsplit

from tests.faults.history import Document, Request
from tests.faults.processes import Stack
from tests.faults.scene import ASYNC, Scene, scene
from tests.faults.waiting import until


async def say(s: Scene, request: Request, share: float) -> asyncio.StreamWriter:
    """Writes a request by hand, only the first share of its body, and leaves the connection open."""
    url = urlsplit(s.stack.apis[0].url)
    body = json.dumps({"events": list(request.events)}).encode()
    head = (
        f"POST /api/v1/threads/{request.thread}/events HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Authorization: Bearer {s.token}\r\nIdempotency-Key: {request.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(head.encode() + body[: int(len(body) * share)])
    await writer.drain()
    return writer


async def test_a_client_that_goes_before_its_body_is_whole_stores_nothing(stack: Stack) -> None:
    stack.api()
    async with scene(stack) as s:
        before, request = await s.count(), s.request()
        writer = await say(s, request, share=0.5)
        writer.transport.abort()
        reply = await s.sender().send(s.request(), prefer=ASYNC)
        assert reply.status == 200
        assert await s.count() == before + 1, "the other one's"
        assert not await s.db.fetchval("select count(*) from idempotency_keys where key = $1", request.key)


async def test_a_client_that_goes_while_it_is_waiting_has_its_batch_applied_and_replayed(stack: Stack) -> None:
    stack.api()
    async with scene(stack) as s:
        request = s.request()
        writer = await say(s, request, share=1.0)
        await until("it is stored", lambda: _is_stored(s, request))
        writer.transport.abort()
        stack.worker()
        await s.settled(request)
        reply = await s.sender().send(request)
        assert (reply.status, reply.replayed) == (200, True)
        assert await s.violations() == []


async def _is_stored(s: Scene, request: Request) -> bool:
    return bool(await s.db.fetchval("select count(*) from idempotency_keys where key = $1", request.key))


async def test_what_waits_around_a_delete_is_applied_in_the_threads_order(stack: Stack) -> None:
    """Nothing applies until all of it is accepted: two messages, the delete, two more."""
    api = stack.api()
    async with scene(stack) as s:
        before = [s.request() for _ in range(2)]
        behind = [s.request() for _ in range(2)]
        for request in before:
            assert (await s.sender().send(request, prefer=ASYNC)).status == 200
        assert await _change(s, "DELETE", "") == {"ok": True, "warnings": [_PENDING]}
        for request in behind:
            assert (await s.sender().send(request, prefer=ASYNC)).status == 200
        stack.worker()
        await s.settled(*before, *behind)
        outcomes = [(await s.sender(api).send(request)).outcome for request in (*before, *behind)]
        assert [_codes(outcome) for outcome in outcomes] == [
            [],
            ["queued_behind"],
            ["thread_deleted"],
            ["thread_deleted"],
        ]
        ends = await s.db.fetch("select status, error->>'code' as code from runs")
        assert [tuple(row) for row in ends] == [("cancelled", "session.archived")] * 2


async def test_what_waits_around_an_archive_is_applied_in_the_threads_order(stack: Stack) -> None:
    api = stack.api()
    async with scene(stack) as s:
        first, behind = s.request(), s.request()
        assert (await s.sender().send(first, prefer=ASYNC)).status == 200
        assert await _change(s, "POST", "/archive") == {"ok": True, "warnings": [_PENDING]}
        assert (await s.sender().send(behind, prefer=ASYNC)).status == 200
        stack.worker()
        await s.settled(first, behind)
        outcomes = [(await s.sender(api).send(request)).outcome for request in (first, behind)]
        assert [_codes(outcome) for outcome in outcomes] == [[], ["thread_archived"]]
        assert await s.db.fetchval("select status from runs") == "cancelled"


_PENDING = {
    "code": "apply_pending",
    "eventIndex": 0,
    "message": "The batch is accepted and will be applied; its outcome is not known yet.",
}


async def _change(s: Scene, method: str, path: str) -> Document:
    url = f"{s.stack.apis[0].url}/api/v1/threads/{s.thread}{path}"
    headers = {"Authorization": f"Bearer {s.token}", "Prefer": ASYNC}
    async with s.stack.session.request(method, url, headers=headers) as response:
        assert response.status == 200
        document: Document = await response.json()
        return document


def _codes(outcome: Document | None) -> list[str]:
    assert outcome is not None
    return [warning["code"] for warning in outcome["warnings"]]
