"""Beside those of several hosts: one worker of xdist for all of these."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/upgrade" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("hosts"))
