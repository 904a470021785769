"""An api that is told to stop: what was sent by half is read on and answered, and nothing new is taken."""

import asyncio
import json

import pytest
from aiohttp import web

from api.app import create_app
from api.server import Runner
from shared.settings import Settings
from tests.service import FORM, Client, form_of, running_service, said
from tests.watch import until


def head(client: Client, path: str, type_: str, size: int) -> bytes:
    return (
        f"POST /api/v1/agents/{client.agent}/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {type_}\r\n"
        f"Authorization: Bearer {client.token}\r\nPrefer: respond-async\r\nContent-Length: {size}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(("path", "type_"), [("threads", "application/json"), ("files", FORM["Content_Type"])])
async def test_a_request_whose_body_is_half_there_is_answered(settings: Settings, path: str, type_: str) -> None:
    """Else each rolling restart would cut off uploads that have the whole drain time-out to end."""
    body = json.dumps({"input": said("half")}).encode() if path == "threads" else form_of(b"half" * 1000)
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        runner = Runner(await create_app(settings), shutdown_timeout=5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(client, path, type_, len(body)) + body[:20])
        assert runner.server is not None
        (connection,) = await until(lambda: there(runner))
        await until(lambda: begun(connection))
        stopping = asyncio.create_task(runner.cleanup())
        await until(lambda: refused(port))
        writer.write(body[20:])
        answer = await asyncio.wait_for(reader.read(), 4)  # to the end of the connection, which ends with it
        assert answer.startswith(b"HTTP/1.1 201"), answer
        await stopping
        writer.close()


async def there(runner: Runner) -> list[web.RequestHandler]:
    return runner.server.connections if runner.server is not None else []


async def begun(connection: web.RequestHandler) -> bool:
    return connection._current_request is not None


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False
