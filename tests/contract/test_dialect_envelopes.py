"""What is refused before any handler sees it is told as the dialect of its path says it."""

import asyncio
import json

import pytest

from tests import hostile
from tests.contract.cortex_client import Cortex
from tests.service import Client

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # with a service of its own

CORTEX, OPENAI, NATIVE = (
    {"message", "code", "error_code", "request_id"},
    {"message", "type", "param", "code"},
    {
        "message",
        "code",
    },
)
PATHS = {
    "/api/v2/cortex/threads": CORTEX,
    "/api/v2/cortex/agent:run?thread_id=1": CORTEX,
    "/api/v2": CORTEX,
    "/v1/threads": OPENAI,
    "/v1": OPENAI,
    "/threads/x/messages": OPENAI,
    "/threads": OPENAI,
    "/api/v1/threads/x/events": NATIVE,
    "/api/v1": NATIVE,
    "/v10/threads": NATIVE,
    "/": NATIVE,
}
HEAD = "POST {} HTTP/1.1\r\nHost: threadmill\r\nContent-Type: application/json\r\n"
BROKEN = {
    "two Content-Lengths": HEAD + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}",
    "a chunk of no length": HEAD + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{{}}\r\n",
    "a header without a name": HEAD + ": x\r\n\r\n",
    "no such protocol": "POST {} HTTP/x\r\nHost: threadmill\r\n\r\n",
}
NO_PATH = (b"\x16\x03\x01\x02\x00\x01", b"nonsense\r\n\r\n", b"POST http://[ HTTP/1.1\r\n\r\n")


def keys(body: bytes) -> set[str]:
    """Of an error, wherever its dialect has it."""
    document = json.loads(body)
    return set(document.get("error", document))


async def test_what_the_parser_refuses_is_told_in_the_words_of_its_path(client: Client) -> None:
    for name, request in BROKEN.items():
        for path, expected in PATHS.items():
            status, body = await asyncio.to_thread(hostile.exchange, client.url, request.format(path).encode())
            assert (name, path, status, keys(body)) == (name, path, 400, expected)


async def test_what_is_no_request_at_all_gets_the_native_envelope(client: Client) -> None:
    for data in NO_PATH:
        status, body = await asyncio.to_thread(hostile.exchange, client.url, data)
        assert (data, status, keys(body)) == (data, 400, NATIVE)


async def test_a_prefix_without_its_slash_belongs_to_its_dialect(client: Client) -> None:
    for path, expected in PATHS.items():
        reply = await Cortex(client).call("PATCH", path)
        assert (path, keys(reply.body)) == (path, expected)
        assert reply.status in (404, 405)
