"""The one tree of errors. Each knows its HTTP status and its public code; dialects only spell them.

ThreadmillError
├── InvalidRequest            400 invalid_request
│   └── InvalidJson           400 invalid_json
├── Unauthenticated           401 unauthenticated
├── Forbidden                 403 forbidden
├── NotFound                  404 not_found
├── MethodNotAllowed          405 invalid_request
├── Conflict                  409
│   ├── AgentNotPublished         agent_not_published
│   ├── ReadinessBlocked          readiness_blocked
│   └── IdempotencyConflict       idempotency_conflict
├── TooLarge                  413 invalid_request
├── UnsupportedMediaType      415 invalid_request
├── RateLimited               429 rate_limited
├── InternalError             500 internal_error
└── ServiceInactive           503 service_inactive
    ├── BacklogFull
    └── StorageAway

A docstring is the default message.
"""

from collections.abc import Mapping
from typing import ClassVar

_STORAGE_AGAIN = 5  # seconds: a disk or a bucket does not come back at once


class ThreadmillError(Exception):
    """The service failed."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    replayed = False  # whether a request with the same key was refused in these words before

    def __init__(self, message: str | None = None, *, retry_after: int | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.retry_after = retry_after  # seconds
        super().__init__(self.message)


class InvalidRequest(ThreadmillError):
    """The request is not valid."""

    status = 400
    code = "invalid_request"

    def __init__(self, message: str | None = None, *, retry_after: int | None = None, param: str | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.param = param  # the field that is wrong, for the dialects that name it apart


class InvalidJson(InvalidRequest):
    """The body is not valid JSON."""

    code = "invalid_json"


class Unauthenticated(ThreadmillError):
    """The token is missing, unknown or revoked: send `Authorization: Bearer <token>`."""

    status = 401
    code = "unauthenticated"


class Forbidden(ThreadmillError):
    """This token may not do that."""

    status = 403
    code = "forbidden"


class NotFound(ThreadmillError):
    """There is no such thing."""

    status = 404
    code = "not_found"


class MethodNotAllowed(InvalidRequest):
    """This path does not take that method."""

    status = 405


class Conflict(ThreadmillError):
    """The request does not fit the state of things."""

    status = 409
    code = "readiness_blocked"


class AgentNotPublished(Conflict):
    """The agent is not published."""

    code = "agent_not_published"


class ReadinessBlocked(Conflict):
    """The thread takes no events."""

    code = "readiness_blocked"


class IdempotencyConflict(Conflict):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_conflict"


class TooLarge(InvalidRequest):
    """The body is over the limit."""

    status = 413


class UnsupportedMediaType(InvalidRequest):
    """The body must be `application/json` in UTF-8, not encoded otherwise."""

    status = 415


class RateLimited(ThreadmillError):
    """Too many requests."""

    status = 429
    code = "rate_limited"

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: int = 1,
        limit: str = "rate",
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.limit = limit  # which one, as the counters name it
        self.fields = fields or {}  # `RateLimit` and `RateLimit-Policy`


class InternalError(ThreadmillError):
    """The service failed; the request id is in the log."""


class ServiceInactive(ThreadmillError):
    """The service can't take this now; nothing was stored unless a retry with the same key says so."""

    status = 503
    code = "service_inactive"


class BacklogFull(ServiceInactive):
    """Too much waits already."""


class StorageAway(ServiceInactive):
    """The storage of files is away, or has no room; nothing was kept."""

    def __init__(self, message: str | None = None, *, retry_after: int | None = _STORAGE_AGAIN) -> None:
        super().__init__(message, retry_after=retry_after)
