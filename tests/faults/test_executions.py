"""The two programs of `make faults-runs`, short: what they do for minutes, for some seconds."""

import pytest

from tests.faults.executions.cancels import Plan as Interrupts
from tests.faults.executions.cancels import cancel_run
from tests.faults.executions.kills import Plan as Kills
from tests.faults.executions.kills import kill_run
from tests.faults.servers import Servers


@pytest.mark.long
async def test_runs_whose_workers_are_killed_go_on_with_their_exact_text(servers: Servers) -> None:
    report = await kill_run(Kills(seed=11, kills=5, threads=3, deltas=(3, 12)), servers)
    assert report.faults == [], report.line()
    assert len(report.recoveries) >= 5


@pytest.mark.long
async def test_interrupted_runs_end_once_and_say_nothing_more_whatever_they_were_doing(servers: Servers) -> None:
    report = await cancel_run(Interrupts(seed=11, interrupts=100), servers)
    assert report.faults == [], report.line()
    assert report.incomplete > 0
