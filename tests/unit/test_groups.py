"""Tests of one group run in one worker of pytest-xdist: some share what only one may make (pytest-xdist issue 1386)."""

import os

import pytest

GROUP = "one_worker"


@pytest.mark.xdist_group(GROUP)
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="nothing is distributed")
def test_a_group_is_told_to_the_one_who_distributes(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith(f"@{GROUP}")
