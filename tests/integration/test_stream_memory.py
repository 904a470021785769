"""What streams cost a real api process: idle ones next to nothing, those of clients that never read a bounded much."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import structlog

from shared.settings import Settings
from tests.integration.api_process import Process, an_api
from tests.rows import Owner, add_thread
from tests.service import Client
from tests.stage import Stage, running_stage
from tests.watch import until

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]

log = structlog.get_logger()

IDLE, DEAF, WARM = 2_000, 300, 100
WATCHED = 20  # seconds: enough for a comment to each
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    async with running_stage(settings) as stage:
        yield stage


def memory(api: Process) -> int:
    """Resident bytes of the process."""
    pages = Path(f"/proc/{api.process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


def spent(api: Process) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{api.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Keeps both until then: a connection whose reader nobody holds is closed by asyncio."""
    writer.transport.abort()


async def opened(stack: AsyncExitStack, url: str, client: Client, thread: str) -> asyncio.StreamReader:
    """A stream whose client has read its first line and keeps next to no buffer."""
    host, _, port = url.removeprefix("http://").partition(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=plain, limit=1 << 10)
    stack.callback(close, reader, writer)
    path = f"/api/v1/threads/{thread}/events/stream"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n\r\n".encode())
    await reader.readuntil(b": connected\n\n")
    return reader


async def figure(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@asynccontextmanager
async def warm_api(
    settings: Settings, directory: Path, client: Client, thread: str
) -> AsyncIterator[tuple[Process, str]]:
    """An api that has had streams before: what the process keeps for good is there already."""
    async with an_api(settings, directory, THREADMILL_LOG_LEVEL="warning", THREADMILL_LOG_FORMAT="json") as api:
        url = await listening(api)
        async with AsyncExitStack() as stack:
            for _ in range(WARM):
                await opened(stack, url, client, thread)
        await until(lambda: none_open(url), timeout=30)
        yield api, url


async def listening(api: Process) -> str:
    async def look() -> bool:
        return api.port_file.exists()

    await until(look)
    return f"http://127.0.0.1:{api.port_file.read_text().strip()}"


async def none_open(url: str) -> bool:
    return await figure(url, "threadmill_open_streams") == 0


async def test_an_idle_stream_costs_little(settings: Settings, stage: Stage, client: Client, tmp_path: Path) -> None:
    """Each of a thread of its own."""
    owner = Owner(client.account, client.token_id)
    threads = [(await add_thread(stage.service.pool, owner)).id for _ in range(IDLE)]
    async with warm_api(settings, tmp_path, client, threads[0]) as (api, url), AsyncExitStack() as stack:
        before = memory(api)
        for thread in threads:
            await opened(stack, url, client, thread)
        assert await figure(url, "threadmill_open_streams") == IDLE
        begun = spent(api)
        await asyncio.sleep(WATCHED)
        each = (memory(api) - before) / IDLE / KIB
        cpu = (spent(api) - begun) / WATCHED
    log.info("idle streams", kib_each=round(each, 1), cores_for_all=round(cpu, 3))
    assert each <= 100
    assert cpu <= 0.2


async def test_a_client_that_never_reads_costs_little_and_is_cut_off(
    settings: Settings, stage: Stage, client: Client, tmp_path: Path
) -> None:
    thread, run = await stage.executing(client)
    async with warm_api(settings, tmp_path, client, thread) as (api, url), AsyncExitStack() as stack:
        before = peak = memory(api)
        for _ in range(DEAF):
            await opened(stack, url, client, thread)
        for _ in range(200):
            await stage.say(thread, run, ["x" * 20_000] * 2)
            peak = max(peak, memory(api))
        await until(lambda: none_open(url), timeout=30)
        peak = max(peak, memory(api))
        assert await figure(url, "threadmill_dropped_streams_total") == DEAF
    log.info("clients that never read", kib_each=round((peak - before) / DEAF / KIB, 1))
    assert (peak - before) / DEAF <= MIB


@pytest.fixture
async def client(stage: Stage) -> Client:
    return await stage.service.client("acme")
