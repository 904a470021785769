"""What a committed transaction did to runs, counted: how many came to an end, how long they took and had waited.

Called behind each commit, so that what was rolled back is never counted; once a transaction, not once a run.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from shared.ids import RunId
from shared.metrics import ENDED_RUNS, RUN_DURATION, RUN_WAIT
from shared.models import Run, RunStatus
from worker.changes import AT_WORK, Changes
from worker.rows import Where


def count_runs(changes: Changes, statuses: Mapping[RunId, RunStatus]) -> None:
    """`statuses` are those that the moved runs were loaded with."""
    moved = [*changes.moved.values(), *((where, made.run) for where, made in changes.created.values())]
    waits = [_wait(changes, where, run) for where, run in moved if _begins(run, statuses)]
    if waits:
        RUN_WAIT.observe(waits)
    over = [run for _, run in moved if run.completed_at is not None]
    if not over:
        return
    for status, ended in Counter(run.status for run in over).items():
        ENDED_RUNS.labels(status).inc(ended)
    for end, seconds in _durations(over).items():
        RUN_DURATION.observe(seconds, end)


def _begins(run: Run, statuses: Mapping[RunId, RunStatus]) -> bool:
    return run.status in AT_WORK and statuses.get(run.id) not in AT_WORK


def _wait(changes: Changes, where: Where, run: Run) -> float:
    """Since its thread was ready for a worker; nothing where this same transaction made it so."""
    before = changes.before.get(where[1])
    ready_at = None if before is None else before.ready_at
    return 0.0 if ready_at is None else (run.updated_at - ready_at).total_seconds()


def _durations(over: list[Run]) -> dict[str, list[float]]:
    """From the first start to the end, by how it ended; waiting for permissions included."""
    found: dict[str, list[float]] = defaultdict(list)
    for run in over:
        if run.attempt and run.started_at is not None and run.completed_at is not None:
            found[str(run.status)].append((run.completed_at - run.started_at).total_seconds())
    return found
