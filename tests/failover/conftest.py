"""Servers of each test's own, of Debian's packages: they are killed and promoted. All of it is slow."""

import pytest

from tests.faults.conftest import all_servers, servers
from tests.faults.servers import Servers

__all__ = ["all_servers", "servers"]


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker of xdist runs them all: each has many processes, and two cores are soon too few."""
    for item in items:
        if "tests/failover" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("failover"))
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """No other test's Redis: what counts who listens and what waits there goes by the names that a service has."""
    return servers.redis.url
