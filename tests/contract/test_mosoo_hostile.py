"""Hostile input to the native dialect beyond the table that all have: refusals in words, bodies that do not end."""

import asyncio
import gc
import json
import os
import socket
from urllib.parse import urlsplit

import psutil
import pytest
from aiohttp import web

from shared.settings import Settings
from tests import hostile
from tests.contract.storing import stored
from tests.hostile import FINE, REQUESTS, SQL, Hostile
from tests.service import Client, Service, message, running_service, said

RISE = 20 << 20  # bytes that 10,000 hostile requests may raise the memory by


async def test_a_refusal_of_a_body_names_its_place(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    for body, words in {
        b'{"events":[{"type":"user_message","text":"a"}': "at character 45",
        b'{"events":[{"type":"user_message","text":"\xff"}]}': "(byte 42)",
        b'{"events":[{"type":"user_interrupt"},{"type":"user_message"}]}': "events.1.text is required",
    }.items():
        reply = await client.call("POST", f"/threads/{thread}/events", body)
        assert words in reply.error[2]


async def test_sql_in_every_string_is_text_and_reads_back_equal(service: Service, client: Client) -> None:
    for text in SQL:
        body = {"input": said(text), "client_external_ref": text, "userId": text}
        key = {"Idempotency_Key": text} if text.isprintable() else {}
        created = await client.call("POST", f"/agents/{client.agent}/threads", body, **key)
        thread = created.json["thread"]["id"]
        events = [
            message(text, clientRequestId=text),
            {"type": "permission_decision", "requestId": text, "decision": "reject_once", "note": text},
        ]
        sent = await client.send(thread, *events)
        assert sent.json["events"][0]["clientRequestId"] == text
        read = (await client.call("GET", f"/threads/{thread}")).json["thread"]
        assert (read["client_external_ref"], read["userId"]) == (text, text)
        log = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
        assert [event["content"] for event in log if event["type"] == "user.message"] == [text, text]
    assert len((await client.call("GET", f"/agents/{client.agent}/threads")).json["threads"]) == len(SQL)


async def test_sql_in_paths_queries_and_headers_is_refused_or_ignored(client: Client) -> None:
    thread = await client.new_thread()
    for path in (
        "/threads/'%20or%201=1--",
        "/agents/';drop%20table%20threads;--/threads",
        f"/threads/{thread}/runs/'--",
    ):
        assert (await client.call("GET", path)).error[:2] == (400, "invalid_request")
    reply = await client.call("GET", f"/threads/{thread}/events?after=' or 1=1--")
    assert reply.error[:2] == (400, "invalid_request")
    assert (await client.call("GET", f"/threads/{thread}", X_Request_Id="'; --")).status == 200


async def test_a_client_that_goes_away_in_the_middle_of_its_body_stores_nothing(
    service: Service, client: Client
) -> None:
    thread = await client.new_thread()
    before = await stored(service)
    whole = hostile.to_events(Hostile(200, "", FINE), client.token, thread)
    for length in (len(whole) - 1, len(whole) - len(FINE), len(whole) - len(FINE) - 10):
        await asyncio.to_thread(send_and_leave, service.url, whole[:length])
    assert (await client.send(thread, message("after them"), Prefer="respond-async")).status == 200
    assert (await stored(service))["batches"] == before["batches"] + 1


async def test_a_body_that_does_not_arrive_is_given_up(settings: Settings) -> None:
    async with running_service(settings.model_copy(update={"body_timeout": 0.2}), worker=False) as service:
        client = await service.client("acme")
        half = hostile.to_events(Hostile(400, "", FINE), client.token, client.agent)[:-5]
        status, body = await asyncio.to_thread(hostile.exchange, service.url, half)
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_request")
    assert "did not arrive within 0.2 s" in json.loads(body)["error"]["message"]


async def test_a_body_in_pieces_is_whole_when_its_last_piece_is_there(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    whole = hostile.to_events(Hostile(200, "", FINE), client.token, thread)
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for piece in (whole[:60], whole[60:-30], whole[-30:-1], whole[-1:]):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()


@pytest.mark.timeout(180)
async def test_a_thousand_hostile_requests_leave_the_memory_as_it_was(service: Service, client: Client) -> None:
    """A short form of `python -m bench.hostile`, which sends 10,000 to a process of its own."""
    thread = await client.new_thread()
    requests = [hostile.to_events(row, client.token, thread) for row in REQUESTS.values() if len(row.body) < 100_000]
    process = psutil.Process(os.getpid())

    def send(times: int) -> None:
        for _ in range(times):
            for data in requests:
                hostile.exchange(service.url, data)

    await asyncio.to_thread(send, 3)
    before = process.memory_info().rss
    await asyncio.to_thread(send, 1 + 1_000 // len(requests))
    assert process.memory_info().rss - before < RISE


async def test_a_connection_that_is_refused_leaves_nothing_for_the_collector(service: Service, client: Client) -> None:
    """It looks seldom at the young, and a connection with its buffers is large."""
    data = hostile.to_events(REQUESTS["two Content-Lengths"], client.token, client.agent)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await asyncio.to_thread(hostile.exchange, service.url, data)
        left = [value for value in gc.get_objects() if isinstance(value, web.RequestHandler)]
    finally:
        gc.enable()
    assert len(left) < 5


def send_and_leave(url: str, data: bytes) -> None:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port or 80), 5) as connection:
        connection.sendall(data)
