"""Errors as OpenAI spells them: `{"error": {"message", "type", "param", "code"}}`.

Its clients retry 408, 409, 429 and 5xx, and send no key: so what does not fit the state of things is 400.
Source: the wire contract, section 3, "Errors".
"""

from typing import Any

from shared.errors import Conflict, InvalidRequest, RateLimited, ThreadmillError, Unauthenticated


def spell(error: ThreadmillError, _: str) -> tuple[int, Any]:
    """Status and body."""
    status = 400 if isinstance(error, Conflict) else error.status
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
