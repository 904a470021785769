"""Responses that carry JSON."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from multidict import CIMultiDict
from pydantic_core import to_json

# Without a Server of ours aiohttp tells its version and Python's.
_FIELDS = (("Content-Type", "application/json; charset=utf-8"), ("Server", "threadmill"))


def document(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return text(to_json(value), status, headers)


def text(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`body` is JSON already, in UTF-8."""
    fields = CIMultiDict(_FIELDS)
    if headers:
        fields.update(headers)
    return web.Response(body=body, status=status, headers=fields)
