"""A build that is wrong on purpose and talks to users: what they asked for and heard must show it."""

from dataclasses import replace

import pytest

from tests.faults.injector import KINDS
from tests.faults.run import ROLES, Plan, fault_run
from tests.faults.servers import Servers
from tests.faults.violations import Kind

ONLY_LATE_WORKERS = tuple(int(kind == "stop worker past its lease") for kind in KINDS)
SHORT = Plan(seed=5, seconds=40.0, users=12, workers=len(ROLES), threads=20, pace=20.0, weights=ONLY_LATE_WORKERS)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("switch", "kinds"), [("", set()), ("ignore_epoch", {Kind.GARBLED, Kind.INCONSISTENT})])
async def test_a_late_worker_that_writes_on_is_caught(switch: str, kinds: set[Kind], servers: Servers) -> None:
    """And one that is refused, as it must be, costs nobody a word."""
    report = await fault_run(replace(SHORT, testing=switch), servers)
    assert report.users is not None
    assert report.users["runs that lost a worker"] > 0, report.line()
    assert kinds <= set(report.kinds) if kinds else not report.violations, report.line()
