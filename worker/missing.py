"""The outcome of a batch whose thread row is gone: it reads as deleted."""

from collections.abc import Sequence
from datetime import datetime

from shared import documents
from shared.effects import Result, Warned, WarningCode
from shared.events import Event
from shared.models import Thread, ThreadStatus, TokenKind
from worker.batch import Batch


def deleted_outcome(batch: Batch, events: Sequence[Event], now: datetime) -> str:
    """Each event had no effect, because the thread was deleted."""
    warned = Warned(WarningCode.THREAD_DELETED, "The thread was deleted before this batch was applied.")
    return documents.outcome(events, [Result(None, (warned,)) for _ in events], _gone(batch, now))


def _gone(batch: Batch, now: datetime) -> Thread:
    return Thread(
        partition=batch.partition,
        id=batch.thread,
        account=batch.account,
        agent=None,
        kind="cattle",
        title=None,
        user_id=None,
        client_external_ref=None,
        attributed_user=None,
        created_by=batch.token,
        created_by_kind=TokenKind.SERVICE_TOKEN,
        status=ThreadStatus.TERMINATED,
        active_runs=0,
        last_run_id=None,
        last_run_seq=0,
        last_event_id=None,
        held=False,
        archived_at=None,
        deleted_at=now,
        created_at=batch.accepted_at,
        updated_at=now,
    )
