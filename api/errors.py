"""Spells errors: the service's own tree and aiohttp's, as one envelope, `{"error": {"code", "message"}}`."""

from aiohttp import web
from aiohttp.hdrs import ALLOW, RETRY_AFTER, WWW_AUTHENTICATE

from api import replies
from shared.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ThreadmillError,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)

# aiohttp's refusals by status. What is not here is 400 or 500, by its class.
_FOREIGN: dict[int, ThreadmillError] = {
    404: NotFound("There is no such route."),
    405: MethodNotAllowed(),
    413: TooLarge(),
    415: UnsupportedMediaType(),
}


def envelope(error: ThreadmillError, status: int | None = None) -> web.Response:
    """The response of an error; `status` where the protocol asks for another one than the error's own."""
    response = replies.document({"error": {"code": error.code, "message": error.message}}, status or error.status)
    if error.retry_after is not None:
        response.headers[RETRY_AFTER] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        response.headers[WWW_AUTHENTICATE] = "Bearer"
    return response


def translate(error: web.HTTPException) -> web.Response:
    """aiohttp's own refusal (unknown route, method, expectation) in our envelope, with its `Allow`."""
    default = InvalidRequest(f"{error.reason}.") if error.status < 500 else InternalError()
    response = envelope(_FOREIGN.get(error.status, default), error.status)
    if ALLOW in error.headers:
        response.headers[ALLOW] = error.headers[ALLOW]
    return response
