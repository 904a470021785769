"""Why a call of an endpoint failed, in the words of a run's error: one table, from what the client raises.

Refused here: repeating what an endpoint says at any length, and repeating a key.
"""

import ssl
from typing import NamedTuple

import anyio
import httpx2
import openai
import structlog

from worker.outbound import AddressRefused
from worker.runners.failing import RunnerError
from worker.runners.openai_text import cut, quote

_log = structlog.get_logger(__name__)


class TooMuch(httpx2.RequestError):
    """The endpoint sent more than one answer may be, or sent it compressed."""


class Failure(NamedTuple):
    code: str
    retryable: bool
    text: str


_CLOSED = Failure("runner.upstream_closed", True, "The endpoint's stream broke off.")
_INVALID = Failure("runner.upstream_invalid", False, "The endpoint sent what is no chat-completions stream.")
_KEY = Failure("runner.unauthorized", False, "The endpoint refuses the key.")
_SILENT = Failure("runner.timeout", True, "The endpoint was silent for too long.")
_AWAY = Failure("runner.unreachable", True, "The endpoint can't be reached.")
_TROUBLE = Failure("runner.upstream", True, "The endpoint failed.")
_LONG = Failure("runner.conversation_too_long", False, "The conversation is longer than the model takes.")

# The first row that fits: by the endpoint's own code, by HTTP status, by what was raised.
FAILURES: tuple[tuple[str | int | type[Exception], Failure], ...] = (
    ("insufficient_quota", Failure("runner.quota", False, "The endpoint's quota is used up.")),
    ("content_filter", Failure("runner.content_filter", False, "The endpoint's content filter refuses the request.")),
    ("context_length_exceeded", _LONG),
    (401, _KEY),
    (403, _KEY),
    (404, Failure("runner.model_not_found", False, "The endpoint does not know the model, or is another one.")),
    (408, _SILENT),
    (409, _TROUBLE),
    (429, Failure("runner.rate_limited", True, "The endpoint asks for fewer requests.")),
    (openai.InternalServerError, _TROUBLE),
    (openai.APIStatusError, Failure("runner.refused", False, "The endpoint refuses the request.")),
    (openai.APITimeoutError, _SILENT),
    (httpx2.TimeoutException, _SILENT),
    (AddressRefused, Failure("runner.address_refused", False, "The endpoint's address may not be called from here.")),
    (TooMuch, Failure("runner.upstream_invalid", False, "The endpoint sent more than an answer may be.")),
    (openai.APIConnectionError, _AWAY),
    (httpx2.RequestError, _AWAY),
    (ssl.SSLError, _AWAY),
    (anyio.EndOfStream, _AWAY),
    (openai.APIResponseValidationError, _INVALID),
    (openai.APIError, _TROUBLE),  # an error in mid-stream
    (openai.OpenAIError, _INVALID),
    (ValueError, _INVALID),  # no JSON, no UTF-8, no chunk
    (RecursionError, _INVALID),  # nested without end
)

FOREIGN: tuple[type[Exception], ...] = (
    openai.OpenAIError,
    httpx2.RequestError,
    ssl.SSLError,
    anyio.EndOfStream,
    ValueError,
    RecursionError,
)


def translate(error: Exception, *, secret: str | None = None, streaming: bool = False) -> RunnerError:
    """The run's error for one of FOREIGN. `streaming`: an answer had begun."""
    failure = _failure(error)
    if streaming and failure is _AWAY:
        failure = _CLOSED
    status = getattr(error, "status_code", None)
    _log.warning("openai.failed", code=failure.code, status=status, error=_kind(error))
    said = quote(_said(error), secret)
    where = f" (HTTP {status})" if status else ""
    return RunnerError(
        failure.text.removesuffix(".") + where + (f": {said}" if said else "."),
        code=failure.code,
        retryable=failure.retryable,
    )


def closed() -> RunnerError:
    return RunnerError(_CLOSED.text, code=_CLOSED.code, retryable=_CLOSED.retryable)


def invalid(what: str) -> RunnerError:
    return RunnerError(f"{_INVALID.text.removesuffix('.')}: {what}", code=_INVALID.code)


def _failure(error: Exception) -> Failure:
    """The connection's own refusals come wrapped: they are the cause."""
    if isinstance(error.__cause__, AddressRefused | TooMuch):
        error = error.__cause__
    code, status = getattr(error, "code", None), getattr(error, "status_code", None)
    for match, failure in FAILURES:
        if isinstance(match, type):
            if isinstance(error, match):
                return failure
        elif match == (status if isinstance(match, int) else code):
            return failure
    raise AssertionError(f"no row for {type(error).__name__}")


def _said(error: Exception) -> str:
    """What the endpoint calls its reason; its pages of HTML are no reason."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def _kind(error: Exception) -> str:
    """For the log: types only, texts may hold anything."""
    kinds = [type(error).__name__]
    if error.__cause__ is not None:
        kinds.append(type(error.__cause__).__name__)
    return cut(" of ".join(kinds), 100)
