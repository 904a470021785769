"""Errors as OpenAI spells them: `{"error": {"message", "type", "param", "code"}}`.

Its clients retry 408, 409, 429 and 5xx, and send no key unless they are told to: so what does not fit the state of
things is 400, and so is a key that was used for something else. One conflict passes by itself, and says in how many
seconds: the first request of a key is still under way. That is 409, because a client's own retry is what it needs.
Source: the wire contract, section 3, "Errors".
"""

from typing import Any

from shared.errors import Conflict, InvalidRequest, RateLimited, ThreadmillError, Unauthenticated


def spell(error: ThreadmillError, _: str) -> tuple[int, Any]:
    """Status and body."""
    lasting = isinstance(error, Conflict) and error.retry_after is None
    status = 400 if lasting else error.status
    param = error.param if isinstance(error, InvalidRequest) else None
    return status, {
        "error": {"message": error.message, "type": _type(error), "param": param, "code": _code(error)},
    }


def _type(error: ThreadmillError) -> str:
    if error.status >= 500:
        return "server_error"
    return "rate_limit_error" if isinstance(error, RateLimited) else "invalid_request_error"


def _code(error: ThreadmillError) -> str:
    return "invalid_api_key" if isinstance(error, Unauthenticated) else error.code
