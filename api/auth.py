"""Who is asking: the token of a request, looked up by its SHA-256 and trusted for `settings.token_cache` seconds.

Tokens come in a header only, never in a URL. An unknown token is remembered for a second, so that a client which
retries in a loop does not reach Postgres each time; both memories are bounded. Refused here: rights beyond the
kind of the token; what belongs to another account is hidden by the reads and by the inbox.
"""

import hmac
import re

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION

from api.lookup import Lookup
from api.postgres import Postgres
from shared import logs, reads, tokens
from shared.errors import Forbidden, Unauthenticated
from shared.models import OPERATORS
from shared.settings import Settings
from shared.views import Caller

# Both schemes: `Bearer <token>` and `Snowflake Token="<token>"`.
_HEADER = re.compile(r"(?:bearer +|snowflake +token=(\")?)([^\s\"]+)(?(1)\")\s*\Z", re.IGNORECASE)
_KEEP_UNKNOWN = 1.0  # seconds; a token that was just made works soon
_LIMIT = 50_000  # tokens remembered in one process: about 20 MB


class Tokens:
    def __init__(self, postgres: Postgres, settings: Settings) -> None:
        self._postgres = postgres
        self._settings, keep = settings, settings.token_cache
        self._lookup: Lookup[bytes, Caller] = Lookup(
            self._load, lambda caller: keep if caller else min(keep, _KEEP_UNKNOWN), _LIMIT
        )

    async def caller(self, request: web.BaseRequest) -> Caller:
        """Who sent this request. Raises Unauthenticated, ServiceInactive; Forbidden for the operator's tokens."""
        found = _HEADER.match(request.headers.get(AUTHORIZATION, ""))
        secret = tokens.parse(found[2]) if found else None
        if secret is None:  # it has not the form of one: nothing to look up
            raise Unauthenticated
        caller = await self._lookup.get(secret.digest)
        if caller is None:
            raise Unauthenticated
        logs.about(account=caller.account)
        if caller.kind in OPERATORS:
            raise Forbidden(f"A token of kind {caller.kind} has no threads.")
        return caller

    async def _load(self, digest: bytes) -> Caller | None:
        caller = await reads.caller(self._postgres, digest, self._settings)
        # The index found it; this comparison takes the same time wherever two digests differ.
        return caller if caller is not None and hmac.compare_digest(caller.digest, digest) else None
