"""Permission requests: a decision claims one that is pending; time settles the rest."""

from datetime import datetime

from shared.effects import Result, WarningCode
from shared.events import PermissionDecision
from shared.ids import RequestId, parse
from shared.lifecycle.draft import Draft
from shared.lifecycle.table import PERMISSION_DECISION, REQUEST_EXPIRED
from shared.lifecycle.warnings import warned
from shared.models import PermissionRequest, RequestState
from shared.reports import RequestExpired


def decide(draft: Draft, event: PermissionDecision) -> Result:
    """Judged by the time the batch was accepted: what was in time then is in time now."""
    name = parse(event.request)
    request = draft.requests.get(RequestId(name)) if name is not None else None
    if request is None:
        return Result(None, (warned(WarningCode.PERMISSION_NOT_FOUND),))
    run = draft.find(request.run)
    if request.state == RequestState.EXPIRED or _over(request, draft.accepted_at):
        return Result(run, (warned(WarningCode.PERMISSION_EXPIRED, request.run),))
    answer = RequestState.ALLOWED if event.allow else RequestState.REJECTED
    if draft.settle(request, PERMISSION_DECISION, answer, event.note) is None:
        return Result(run, (warned(WarningCode.PERMISSION_ALREADY_DECIDED, request.run),))
    return Result(run)


def expire(draft: Draft, event: RequestExpired) -> Result:
    request = draft.requests.get(event.request)
    if request is None:
        return Result(None)
    if _over(request, draft.at):
        draft.settle(request, REQUEST_EXPIRED, RequestState.EXPIRED)
    return Result(draft.find(request.run))


def _over(request: PermissionRequest, moment: datetime) -> bool:
    """Whether a request that is still pending is past its time."""
    return request.state == RequestState.PENDING and request.expires_at is not None and request.expires_at <= moment
