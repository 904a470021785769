"""Around everything else: a request's id, its errors in our envelope, its count.

It wraps the application rather than being a middleware of it: aiohttp builds a chain for each request of those. No path
is logged: somebody may have put a token into it.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache

import structlog
from aiohttp import web
from prometheus_client import Counter

from api import errors, negotiation
from shared import logs
from shared.errors import InternalError, ThreadmillError
from shared.metrics import REQUESTS

log = structlog.get_logger()

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
ID = web.RequestKey("id", str)  # of a request, for an answer that begins before its handler ends
RATE = web.RequestKey("rate", Mapping[str, str])  # of a caller with limits: what its answer says of them
_CORTEX = "/api/v2/"
_GONE = 499  # nobody reads it: the client went away before its request was whole


def edge(handle: Handler) -> Handler:
    """The same handler, which never raises but where its client or the process goes away."""

    quiet = log.bind()  # by now it is known whether anybody listens to `debug`

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        request[ID] = request_id = negotiation.request_id(request.headers)
        logs.begin(request_id=request_id)
        try:
            response = await handle(request)
        except ThreadmillError as error:
            response = _refused(error, request.path, request_id)
        except web.HTTPException as error:
            response = errors.translate(error, request.path, request_id)
        except ConnectionError:
            response = web.Response(status=_GONE)
        except Exception:  # whatever it is, the client gets our envelope and the log the reason
            log.exception("request failed", method=request.method)
            response = errors.envelope(InternalError(), request.path, request_id)
        response.headers[negotiation.REQUEST_ID] = request_id  # of a stream it is long gone
        for name, told in request.get(RATE, {}).items():
            response.headers.setdefault(name, told)  # a refusal by another limit has said more
        if request.path.startswith(_CORTEX):
            response.headers[negotiation.CORTEX_REQUEST_ID] = request_id
        _counter(response.status).inc()
        quiet.debug("answered", method=request.method, status=response.status)
        return response

    return answer


def _refused(error: ThreadmillError, path: str, request_id: str) -> web.Response:
    response = errors.envelope(error, path, request_id)
    say = log.warning if error.status >= 500 else log.info
    say("request refused", status=error.status, code=error.code)
    if error.status in (408, 413):
        response.force_close()
    return response


@cache
def _counter(status: int) -> Counter:
    return REQUESTS.labels(str(status))
