"""Servers of each test's own, of Debian's packages: they are killed and promoted. All of it is slow."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker of xdist runs them all: each has many processes, and two cores are soon too few."""
    for item in items:
        if "tests/failover" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("failover"))
            item.add_marker(pytest.mark.slow)
