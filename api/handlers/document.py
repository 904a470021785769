"""The description of the dialect, as OpenAPI. No token."""

from aiohttp import web

from api import replies
from api.dialects.mosoo.openapi import document


class Document:
    def __init__(self) -> None:
        self._text = replies.document(document()).body

    async def read(self, _: web.Request) -> web.Response:
        """GET /openapi.json"""
        assert isinstance(self._text, bytes)  # noqa: S101 - it was made from bytes
        return replies.text(self._text)
