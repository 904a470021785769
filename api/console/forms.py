"""Reads what a form sent: of bounded size, within a bounded time, and in the one encoding that browsers send."""

import asyncio
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from shared.errors import InvalidRequest, TooLarge, UnsupportedMediaType

LIMIT = 64 << 10  # bytes: a question's fields, not documents
TIMEOUT = 5.0  # seconds for all of it
FIELDS = 1_000
_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: web.Request) -> MultiDict[str]:
    """Raises UnsupportedMediaType, TooLarge, InvalidRequest."""
    if request.content_type != _TYPE or "Content-Encoding" in request.headers:
        raise UnsupportedMediaType(f"A form is sent as {_TYPE}.")
    if (request.content_length or 0) > LIMIT:
        raise TooLarge
    try:
        async with asyncio.timeout(TIMEOUT):
            body = await _read(request)
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except TimeoutError:
        raise InvalidRequest(f"The form did not arrive within {TIMEOUT:g} s.") from None
    except (ValueError, web.RequestPayloadError):  # not UTF-8, too many fields, a broken transfer
        raise InvalidRequest("The form can't be read.") from None
    if any("\0" in text for pair in pairs for text in pair):
        raise InvalidRequest("The form holds a character that can't be kept.")
    return MultiDict(pairs)


async def _read(request: web.Request) -> bytes:
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > LIMIT:
            raise TooLarge
    return bytes(body)
