"""How fast a backlog drains, and what it costs the worker's memory.

The backlog is made by one set-based insert while no worker runs: a million accepts would take minutes and end in the
same rows. Redis knows nothing of them, so it is the worker's sweep that finds the work.
"""

from dataclasses import dataclass

from bench import cpu
from bench.measure import Say
from bench.subjects import Service
from bench.verify import Unsound

PATIENCE = 300.0  # seconds; at half the bar's rate a million takes less


@dataclass(frozen=True, slots=True)
class Backlog:
    batches: int
    per_second: float  # from the first drain's commit to the last one's
    worker_peak_mib: float


async def drain_backlog(service: Service, batches: int, say: Say) -> Backlog:
    """Fills the inbox, starts a worker, waits until it is empty. Raises Unsound, TimeoutError."""
    owner = service.owner
    await service.reset()
    await service.stack.empty_redis()
    await service.db.execute(service.tables["add_backlog"], owner.account, owner.token_id, batches)
    await service.db.execute("vacuum analyze batches")
    say(f"backlog: {batches} batches are waiting")
    await service.start_worker()
    try:
        await service.until_applied(PATIENCE)
        peak = cpu.peak_mib(service.programs["worker"].pid)
    finally:
        await service.stop()
    found = await service.db.fetchrow(service.tables["backlog_progress"])
    if found["applied"] != batches or found["parked"]:
        raise Unsound(f"backlog: {found['applied']} of {batches} applied, {found['parked']} parked")
    result = Backlog(batches, batches / found["seconds"], peak)
    say(f"backlog: {result.per_second:.0f} batches/s, worker at most {peak:.0f} MiB")
    return result
