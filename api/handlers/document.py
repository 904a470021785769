"""What describes the service: OpenAPI documents, the reference page and its stylesheet. No token.

Each is the same as long as the process lives: made at its first request, in a thread, and kept, also compressed.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

JSON, PAGE, STYLE = "application/json", "text/html", "text/css"
# A new version of the service says something else: five minutes later everybody has it, the page with its own style.
_CACHE = "public, max-age=300"
# The page has no script, and whatever somebody gets into it shall run none. Its style is a file beside it.
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# `gzip` among what a client takes, unless it says that it takes none (RFC 9110, 12.5.3).
_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:$|,|;(?!\s*q=0(?:\.0*)?\s*(?:$|,)))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Kept:
    plain: bytes
    packed: bytes
    tag: str


class Document:
    """One of them. `make` gives its text."""

    def __init__(self, make: Callable[[], bytes], media: str = JSON) -> None:
        self._make = make
        self._media = media
        self._kept: _Kept | None = None
        self._making = asyncio.Lock()

    async def read(self, request: web.Request) -> web.Response:
        """GET /openapi.json, /docs, /docs/reference.css"""
        kept = await self._text()
        headers = self._headers(kept)
        if any(known.value in (kept.tag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = f"{self._media}; charset=utf-8"
        if _GZIP.search(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            return web.Response(body=kept.packed, headers=headers)
        return web.Response(body=kept.plain, headers=headers)

    async def _text(self) -> _Kept:
        async with self._making:
            if self._kept is None:
                self._kept = await asyncio.to_thread(self._written)
        return self._kept

    def _written(self) -> _Kept:
        text = self._make()
        return _Kept(text, gzip.compress(text, mtime=0), hashlib.sha256(text).hexdigest()[:32])

    def _headers(self, kept: _Kept) -> CIMultiDict[str]:
        headers = CIMultiDict(
            {
                "ETag": f'W/"{kept.tag}"',  # weak: the same tag for both encodings
                "Cache-Control": _CACHE,
                "Vary": "Accept-Encoding",
                "X-Content-Type-Options": "nosniff",
                "Server": "threadmill",
            }
        )
        if self._media == PAGE:
            headers["Content-Security-Policy"] = _POLICY
        return headers
