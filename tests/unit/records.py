"""What holds of every record of the domain, and of every change of one: asserted by the ledger, whoever made it."""

from shared.models import TERMINAL, Run, RunStatus, Thread

FIXED = frozenset(  # what no step changes of a thread
    {
        "partition",
        "id",
        "account",
        "kind",
        "user_id",
        "client_external_ref",
        "attributed_user",
        "created_by",
        "created_by_kind",
        "created_at",
    }
)


def check_run(run: Run) -> None:
    assert (run.status in TERMINAL) == (run.completed_at is not None)
    assert (run.status != RunStatus.QUEUED) == (run.started_at is not None)
    assert run.created_at <= (run.started_at or run.created_at) <= (run.completed_at or run.updated_at)
    assert run.created_at <= run.updated_at
    if run.error is not None:
        assert run.status in {RunStatus.FAILED, RunStatus.EXPIRED, RunStatus.CANCELLED}


def check_move(before: Run, after: Run) -> None:
    assert not before.terminal, "a terminal run moved"
    assert (before.id, before.created_at, before.trigger) == (after.id, after.created_at, after.trigger)
    assert before.started_at in (None, after.started_at), "startedAt is set once"
    assert before.updated_at <= after.updated_at
    assert before.seq <= after.seq
    check_run(after)


def check_thread(before: Thread, after: Thread) -> None:
    assert all(getattr(before, name) == getattr(after, name) for name in FIXED)
    assert before.updated_at <= after.updated_at
    assert after.created_at <= after.updated_at
    assert before.title in (None, after.title)
    assert before.agent in (None, after.agent), "the agent is bound once"
    assert before.last_run_seq <= after.last_run_seq
    assert (before.last_event_id or "") <= (after.last_event_id or "")
