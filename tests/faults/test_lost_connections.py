"""Row 8 of the list of faults, for runs: connections of their workers are cut, also between a commit and its answer.

What was written is not written twice, what was not is written later.
"""

import asyncio
import random

import pytest

from tests.faults.clients import chance
from tests.faults.executions.stage import Stage, stage
from tests.faults.executions.talks import Talk
from tests.faults.processes import Stack

CUTS = 60
EVERY = (0.05, 0.4)  # seconds between cuts
_CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = $1
"""
NAMES = ("threadmill append", "threadmill append", "threadmill take", "threadmill leases", "threadmill recovery")


@pytest.mark.long
async def test_runs_lose_and_double_nothing_when_their_workers_connections_are_cut(stack: Stack) -> None:
    stack.api()
    workers = [stack.worker(role="all") for _ in range(2)]
    async with stage(stack) as s:
        threads, talk = [await s.new_thread() for _ in range(6)], Talk()
        async with asyncio.TaskGroup() as group:
            for n, thread in enumerate(threads):
                group.create_task(talk.converse(s, thread, chance(5, n)))
            cut = await _cut(s, chance(5))
            talk.over.set()
        found, faults = await talk.judge(s)
        assert faults == []
        assert {(run.status, run.error) for run in found.runs} == {("completed", None)}
        assert sum(cut.values()) >= CUTS / 2, f"too few connections were cut: {cut}"
        assert {name for name, hit in cut.items() if not hit} == set(), f"of some no connection was cut: {cut}"
        assert [worker.process.poll() for worker in workers] == [None, None]


async def _cut(s: Stage, rng: random.Random) -> dict[str, int]:
    """Cuts one kind of connection after the other; how many that hit, by their names."""
    hit = dict.fromkeys(NAMES, 0)
    for n in range(CUTS):
        await asyncio.sleep(rng.uniform(*EVERY))
        name = NAMES[n % len(NAMES)]
        hit[name] += len(await s.db.fetch(_CUT, name))
    return hit
