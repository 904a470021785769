"""Tests of one group run in one worker of pytest-xdist: some share what only one may make (pytest-xdist issue 1386)."""

import pytest

GROUP = "one_worker"


@pytest.mark.xdist_group(GROUP)
def test_a_group_is_told_to_the_one_who_distributes(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("loadgroup", False):
        pytest.skip("nothing is distributed by groups")
    assert request.node.nodeid.endswith(f"@{GROUP}")
