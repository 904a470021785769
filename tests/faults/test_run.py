"""The fault run, short: what `make faults` does for minutes, for some seconds."""

import pytest

from tests.faults.run import Plan, fault_run
from tests.faults.servers import Servers

SHORT = Plan(
    seed=7,
    batches=1_800,
    threads=60,
    pace=110.0,
    least_acknowledged=1_500,
    least_faults=8,
    least_retries=20,
)


@pytest.mark.slow
async def test_nothing_is_lost_duplicated_or_reordered_under_faults(servers: Servers) -> None:
    report = await fault_run(SHORT, servers)
    assert report.too_quiet == [], report.line()
    assert [str(violation) for violation in report.violations] == []
