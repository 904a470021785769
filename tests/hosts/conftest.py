"""As the tests of faults have it: servers of their own; and one worker of xdist for all of these."""

import pytest

from tests.faults.conftest import all_servers, servers

__all__ = ["all_servers", "servers"]


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/hosts" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("hosts"))
