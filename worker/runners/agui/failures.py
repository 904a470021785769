"""What went wrong with an endpoint, as the RunnerError that the thread's clients see: one table for all of it.

Texts are ours. What an exception or an answer says is left out: it may repeat a token.
"""

import httpx2

from worker.outbound import AddressRefused
from worker.runners.failing import RunnerError

UNAUTHORIZED = "runner.unauthorized"
RATE_LIMITED = "runner.rate_limited"
UPSTREAM = "runner.upstream"
TIMEOUT = "runner.timeout"
CLOSED = "runner.upstream_closed"
PROTOCOL = "runner.protocol"

# The first that an exception is an instance of: its code, whether to try again, what is said.
_EXCEPTIONS: tuple[tuple[type[Exception], str, bool, str], ...] = (
    (AddressRefused, UPSTREAM, False, "The endpoint's address is of a private network: THREADMILL_PRIVATE_ENDPOINTS."),
    (httpx2.ConnectTimeout, TIMEOUT, True, "The endpoint could not be reached in time."),
    (httpx2.TimeoutException, TIMEOUT, True, "The endpoint was silent for too long."),
    (TimeoutError, TIMEOUT, True, "The endpoint was silent for too long."),
    (httpx2.SSEError, PROTOCOL, False, "The endpoint sent an event over the limit of 1 MiB."),
    (httpx2.ConnectError, UPSTREAM, True, "The endpoint could not be reached."),
    (httpx2.NetworkError, CLOSED, True, "The connection to the endpoint broke off."),
    (httpx2.RemoteProtocolError, CLOSED, True, "The endpoint broke off, or does not speak HTTP."),
    (httpx2.TooManyRedirects, PROTOCOL, False, "The endpoint redirects; its own address is wanted."),
    (httpx2.DecodingError, PROTOCOL, False, "The endpoint's answer can't be decoded."),
    (httpx2.LocalProtocolError, PROTOCOL, False, "The call could not be written as HTTP."),
    (httpx2.UnsupportedProtocol, PROTOCOL, False, "The endpoint's scheme is not called."),
    (UnicodeError, UPSTREAM, False, "The endpoint's name can't be one of a host."),
    (httpx2.HTTPError, UPSTREAM, True, "The call of the endpoint failed."),
)
CAUGHT = tuple(kind for kind, _, _, _ in _EXCEPTIONS)

_STATUSES: dict[int, tuple[str, bool, str]] = {
    401: (UNAUTHORIZED, False, "The endpoint refuses the token"),
    403: (UNAUTHORIZED, False, "The endpoint refuses the token"),
    408: (TIMEOUT, True, "The endpoint gave up waiting"),
    429: (RATE_LIMITED, True, "The endpoint is called too often"),
    504: (TIMEOUT, True, "The endpoint's own service was too slow"),
}
_CLASSES: dict[int, tuple[str, bool, str]] = {
    2: (PROTOCOL, False, "The endpoint answered without a stream of events"),
    3: (PROTOCOL, False, "The endpoint redirects; its own address is wanted"),
    4: (UPSTREAM, False, "The endpoint refuses the call"),
    5: (UPSTREAM, True, "The endpoint failed"),
}
_ODD = (PROTOCOL, False, "The endpoint answered with a status of no kind")


def of_exception(error: BaseException) -> RunnerError:
    """For one of `CAUGHT`."""
    _, code, retryable, message = next(row for row in _EXCEPTIONS if isinstance(error, row[0]))
    return RunnerError(message, code=code, retryable=retryable)


def of_status(status: int) -> RunnerError:
    """For an answer that is no 200."""
    code, retryable, message = _STATUSES.get(status) or _CLASSES.get(status // 100, _ODD)
    return RunnerError(f"{message} (status {status}).", code=code, retryable=retryable)


def protocol(message: str) -> RunnerError:
    """What the endpoint sent is not what AG-UI says, or more than is taken."""
    return RunnerError(message, code=PROTOCOL)


def closed() -> RunnerError:
    return RunnerError("The endpoint's stream ended before the run did.", code=CLOSED, retryable=True)
