"""Since when a thread's current run waits for a worker. Refused here: taking it."""

from datetime import datetime
from typing import TYPE_CHECKING

from shared.models import RequestState, Run, RunStatus

if TYPE_CHECKING:
    from shared.lifecycle.draft import Draft


def ready_since(draft: "Draft") -> datetime | None:
    """None where it does not wait. What leases it, loses it or gives it up says so itself."""
    current = draft.queue[0] if draft.queue else None
    if current is None:
        return None
    before = draft.state.queue[0] if draft.state.queue else None
    if before is None or before.id != current.id:
        return draft.at
    if current.status is RunStatus.WAITING_INPUT:
        return None if draft.open_requests(current.id) else _since_settled(draft, before)
    return draft.ready_at if current.status in (before.status, RunStatus.BOOTING) else None


def _since_settled(draft: "Draft", before: Run) -> datetime | None:
    """The current run waits for no permission: since this step, or since longer, and may be taken by now."""
    asked = any(r.run == before.id and r.state == RequestState.PENDING for r in draft.state.requests.values())
    return draft.at if asked or before.status is not RunStatus.WAITING_INPUT else draft.ready_at
