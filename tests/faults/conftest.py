"""Servers of these tests' own, because they kill and empty them; a database and processes for each test."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.faults.processes import Stack
from tests.faults.servers import Servers


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that start servers are slow."""
    for item in items:
        if "tests/faults" in item.nodeid and "servers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def all_servers() -> Iterator[Servers]:
    servers = Servers()
    try:
        asyncio.run(servers.start())
        yield servers
    finally:
        asyncio.run(servers.stop())


@pytest.fixture
async def servers(all_servers: Servers) -> Servers:
    """Both, up and Redis empty, whatever the test before did to them."""
    await all_servers.revive()
    return all_servers


@pytest.fixture
async def stack(servers: Servers) -> AsyncIterator[Stack]:
    async with Stack(servers, await servers.new_database(), servers.redis.url) as stack:
        yield stack
        sys.stdout.write(stack.last_words())  # pytest shows it where the test failed
