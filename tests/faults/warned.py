"""What each event of an applied batch was told: only what its kind may meet, and a reason where it came to nothing.

Judged are messages without a `clientRequestId` to agents whose busy threads queue, interrupts, and decisions. Whether a
code was true is seen where the log is played again (`replay`). Refused here: the events that other dialects add.
"""

from collections.abc import Iterator

from tests.faults.replay import CLOSED, Step, steps_of
from tests.faults.tables import Tables
from tests.faults.violations import Kind, Violation

CODES = {
    "user_message": {"queued_behind", "queue_full"},
    "user_interrupt": {"no_active_run", "run_not_found", "run_already_finished"},
    "permission_decision": {"permission_not_found", "permission_expired", "permission_already_decided"},
}
# With one of these an event has no run.
NOTHING = CLOSED | {"queue_full", "no_active_run", "run_not_found", "permission_not_found"}
# And with one of these it may have none: a request's run is not there for ever.
PERHAPS = NOTHING | {"permission_expired", "permission_already_decided"}


def check_warnings(tables: Tables, closed: frozenset[str] = frozenset()) -> Iterator[Violation]:
    """`closed`: threads that somebody archived or deleted, or a batch of which was discarded."""
    for batch in tables.batches:
        if batch.outcome is not None:
            for n, step in enumerate(steps_of(batch)):
                if step.type in CODES and (what := _wrong(step, is_closed=batch.thread in closed)):
                    yield Violation(Kind.LOST, batch.thread, f"event {n} of batch {batch.id} {what}")


def _wrong(step: Step, *, is_closed: bool) -> str | None:
    told = step.warnings.keys()
    odd = told - CODES[step.type] - (CLOSED if is_closed else frozenset())
    if odd:
        return f"was told {', '.join(sorted(odd))}, which it can't have met"
    if step.run is None and not told & PERHAPS:
        return "came to nothing, and no warning says why"
    if step.run is not None and told & NOTHING:
        return f"was told {', '.join(sorted(told & NOTHING))}, and has run {step.run}"
    return None
