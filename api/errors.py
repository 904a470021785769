"""Spells errors: the service's own tree and aiohttp's, as the dialect of the path says them."""

from collections.abc import Callable
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.hdrs import ALLOW, RETRY_AFTER, WWW_AUTHENTICATE

from api import negotiation, replies
from api.dialects.cortex import errors as cortex
from api.dialects.mosoo import errors as mosoo
from api.dialects.openai import errors as openai
from shared.errors import (
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    ThreadmillError,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)

Spelling: TypeAlias = Callable[[ThreadmillError, str], tuple[int, Any]]  # of an error, and the id of its request

_SPELLINGS: tuple[tuple[str, Spelling], ...] = (
    ("/api/v1/", mosoo.spell),
    ("/api/v2/", cortex.spell),
    ("/v1/", openai.spell),
    ("/threads/", openai.spell),
)
# aiohttp's refusals by status. What is not here is 400 or 500, by its class.
_FOREIGN: dict[int, ThreadmillError] = {
    404: NotFound("There is no such route."),
    405: MethodNotAllowed(),
    413: TooLarge(),
    415: UnsupportedMediaType(),
}


def envelope(error: ThreadmillError, path: str, request_id: str, status: int | None = None) -> web.Response:
    """The response of an error; `status` where the protocol asks for another one than the dialect's own."""
    place = f"{path}/"  # a prefix alone, without its slash, is its dialect's as well
    spell = next((spell for prefix, spell in _SPELLINGS if place.startswith(prefix)), mosoo.spell)
    own, document = spell(error, request_id)
    response = replies.document(document, status or own)
    if error.retry_after is not None:
        response.headers[RETRY_AFTER] = str(error.retry_after)
    if error.replayed:
        response.headers.update(negotiation.REPLAYED)
    if isinstance(error, RateLimited):
        response.headers.update(error.fields)
    if isinstance(error, Unauthenticated):
        response.headers[WWW_AUTHENTICATE] = "Bearer"
    return response


def translate(error: web.HTTPException, path: str, request_id: str) -> web.Response:
    """aiohttp's own refusal (unknown route, method, expectation) in our envelope, with its `Allow`."""
    default = InvalidRequest(f"{error.reason}.") if error.status < 500 else InternalError()
    response = envelope(_FOREIGN.get(error.status, default), path, request_id, error.status)
    if ALLOW in error.headers:
        response.headers[ALLOW] = error.headers[ALLOW]
    return response
