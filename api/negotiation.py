"""What request headers ask for: how long to wait (`Prefer`, RFC 7240), under which id (`X-Request-Id`), and the
key of a retry (`Idempotency-Key`).
"""

import hashlib
import json
import re
import secrets
from functools import lru_cache
from itertools import count
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

from api.submission import Idempotency
from shared.errors import InvalidRequest

REQUEST_ID = "X-Request-Id"
REPLAYED = {"Idempotency-Replayed": "true"}  # in an answer that was given before
CORTEX_REQUEST_ID = "X-Snowflake-Request-Id"
THREAD_ID = "X-Threadmill-Thread-Id"  # of a thread that the answer names otherwise
_PROCESS = secrets.token_hex(6)  # ids of ours: of this process, and counted
_numbers = count(1)
_SANE = re.compile(r"[\w.:/+=@-]{1,128}\Z", re.ASCII)
_WAIT = re.compile(r"wait *= *\"?(\d{1,6})\"?\Z", re.ASCII)
_KEY_LIMIT = 128  # characters


def request_id(headers: CIMultiDictProxy[str]) -> str:
    """The client's own id of this request where it is sane, else a new one."""
    given = headers.get(REQUEST_ID)
    return given if given is not None and _SANE.match(given) else f"{_PROCESS}-{next(_numbers):x}"


def wait(headers: CIMultiDictProxy[str], default: float, limit: float) -> float:
    """Seconds to wait for the outcome. What can't be read is ignored, as RFC 7240 wants it.

    `respond-async` alone is 0; together with `wait=N` the wait comes first.
    """
    if "Prefer" not in headers:
        return default
    asked = _asked(",".join(headers.getall("Prefer")))
    return default if asked is None else min(asked, limit)


@lru_cache(256)  # a client sends the same ones with each request
def _asked(text: str) -> float | None:
    """The seconds that preferences ask for; None where they ask for none."""
    preferences = [part.split(";")[0].strip().lower() for part in text.split(",")]
    for preference in preferences:
        if found := _WAIT.match(preference):
            return float(found[1])
    return 0.0 if "respond-async" in preferences else None


def idempotency_key(headers: CIMultiDictProxy[str]) -> str | None:
    """The key, trimmed, 1..128 printable characters; None without the header. Raises InvalidRequest."""
    if "Idempotency-Key" not in headers:
        return None
    given = headers.getall("Idempotency-Key")
    key = given[0].strip()
    if len(given) > 1 or not 1 <= len(key) <= _KEY_LIMIT or not key.isprintable():
        raise InvalidRequest(f"Idempotency-Key: one header of 1 to {_KEY_LIMIT} printable characters.")
    return key


def idempotency(request: web.BaseRequest, route: str, document: dict[str, Any]) -> Idempotency | None:
    """What the inbox needs to know a retry by. `route` names method, path and ids; `document` is the parsed request,
    in its one form: neither the order of its keys nor white space matter. Raises InvalidRequest.
    """
    key = idempotency_key(request.headers)
    if key is None:
        return None
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Idempotency(key, route, hashlib.sha256(text.encode()).digest())
