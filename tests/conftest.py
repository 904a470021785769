"""Fixtures over real servers: a database per test, copied from a migrated template, and a prefix in Redis."""

import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis

from shared.db.connect import open_pool
from shared.settings import Settings
from tests import scratch, servers
from tests.servers import Addresses, Session

_SESSION = pytest.StashKey[Session]()


# The machines are shared: how long an example takes says nothing about it.
hypothesis_settings.register_profile("shared machine", deadline=None)
hypothesis_settings.load_profile("shared machine")


def pytest_configure(config: pytest.Config) -> None:
    scratch.choose()
    config.stash[_SESSION] = Session()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends a session as Ctrl-C does: in order
    # A script's background job ignores Ctrl-C, and so would every program that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def plain_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that sets up logs as a process does must not settle the loggers of the tests behind it."""
    set_up = structlog.configure

    def configure(**options: Any) -> None:
        set_up(**{**options, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", configure)
    yield
    structlog.reset_defaults()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Also after Ctrl-C, and after a start that failed half-way."""
    config.stash[_SESSION].stop()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The controller of xdist starts the servers and tells each worker where they are."""
    addresses = node.config.stash[_SESSION].start()
    node.workerinput["servers"] = (addresses.database_url, addresses.redis_url, addresses.template)


@pytest.fixture(scope="session")
def addresses(pytestconfig: pytest.Config) -> Addresses:
    told = getattr(pytestconfig, "workerinput", None)
    return Addresses(*told["servers"]) if told else pytestconfig.stash[_SESSION].start()


@pytest.fixture
async def database_url(addresses: Addresses) -> AsyncIterator[str]:
    """An empty, migrated database of this test alone."""
    name = f"test_{secrets.token_hex(8)}"
    await servers.execute(
        addresses.database_url, f"create database {name} template {addresses.template} strategy file_copy"
    )
    yield servers.for_a_test(addresses.database_url, name)
    await servers.execute(addresses.database_url, f"drop database {name} with (force)")


@pytest.fixture
def redis_url(addresses: Addresses) -> str:
    return addresses.redis_url


@pytest.fixture
async def redis_prefix(redis_url: str) -> AsyncIterator[str]:
    """Before every key of this test; what it leaves is removed."""
    prefix = f"t{secrets.token_hex(6)}:"
    yield prefix
    client = Redis.from_url(redis_url)
    keys = [key async for key in client.scan_iter(match=f"{prefix}*", count=1000)]
    if keys:
        await client.delete(*keys)
    await client.aclose()


@pytest.fixture
def settings(database_url: str, redis_url: str, redis_prefix: str, tmp_path: Path) -> Settings:
    values: dict[str, Any] = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return Settings(**values, redis_prefix=redis_prefix, files=str(tmp_path / "files"), env="test")


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    pool = await open_pool(settings.database_url)
    yield pool
    pool.terminate()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client that answers in bytes, as arq's does."""
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()
