"""The bytes of a file as an answer: which of them, under what name, and so that no browser runs them.

Refused here: believing a type. Only what can't act is shown in place; every text is shown as text. Sources: RFC 9110,
section 14 (ranges), RFC 6266 and RFC 8187 (names).
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

import structlog
from aiohttp import web

from shared.files.keeping import patience
from shared.metrics import DROPPED_ANSWERS, FILE_BYTES
from shared.views import FileView

log = structlog.get_logger()

_PATIENCE = 60.0  # seconds that a client has to take a piece
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_TEXT = "text/plain; charset=utf-8"
# What a browser shows without running anything of it. No PDF and no SVG: both may hold scripts.
_SHOWN = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"),
        *("audio/mpeg", "audio/ogg", "audio/wav", "audio/webm", "audio/mp4", "audio/flac"),
        *("video/mp4", "video/webm", "video/ogg"),
    }
)
_SAFE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Accept-Ranges": "bytes",
    "Server": "threadmill",
}


class Disposition(StrEnum):
    ATTACHMENT = "attachment"
    INLINE = "inline"


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to `stop`."""

    start: int
    stop: int
    whole: bool = False


def span_of(request: web.Request, file: FileView) -> Span | None:
    """The bytes that a request asks for; None where the file has none of them. What is no range of one piece, or of a
    file that has changed, means all of it.
    """
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    condition = request.headers.get("If-Range")
    if found is None or not (found[1] or found[2]) or (condition is not None and condition != tag_of(file)):
        return Span(0, file.size, whole=True)
    first, last = found[1], found[2]
    if not first:
        start, stop = max(0, file.size - int(last)), file.size
    else:
        start, stop = int(first), min(int(last) + 1, file.size) if last else file.size
        if last and int(last) < int(first):
            return Span(0, file.size, whole=True)
    return Span(start, stop) if start < file.size and start < stop else None


def tag_of(file: FileView) -> str:
    return f'"{file.sha256.hex()}"'


def fields(file: FileView, wanted: Disposition) -> dict[str, str]:
    """The header fields of an answer with this file's bytes."""
    type_, disposition = file.mime_type, wanted
    if wanted is Disposition.INLINE:
        if type_.startswith("text/") or type_ == "application/json":
            type_ = _TEXT
        elif type_ not in _SHOWN:
            disposition = Disposition.ATTACHMENT
    return {
        **_SAFE,
        "Content-Type": type_,
        "Content-Disposition": f"{disposition}; {_named(file.name)}",
        "ETag": tag_of(file),
    }


def _named(name: str) -> str:
    """For old readers in ASCII without anything that has a meaning in a header; for all others as it is."""
    plain = "".join(char if char.isascii() and char.isprintable() and char not in '"\\%;' else "_" for char in name)
    return f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def unsatisfied(file: FileView) -> web.Response:
    """None of the bytes that were asked for is there."""
    return web.Response(status=416, headers={**_SAFE, "Content-Range": f"bytes */{file.size}"})


def begun(file: FileView, span: Span, wanted: Disposition) -> web.StreamResponse:
    """The answer without its bytes."""
    response = web.StreamResponse(status=200 if span.whole else 206, headers=fields(file, wanted))
    response.content_length = span.stop - span.start
    if not span.whole:
        response.headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{file.size}"
    return response


async def send(request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes], size: int) -> None:
    """Sends `size` bytes as fast as they are taken. An answer that can't be ended is broken off: half of it would look
    like all of it. Raises ConnectionResetError.
    """
    try:
        async with asyncio.timeout(patience(size)):
            await _pump(response, pieces)
    except TimeoutError:
        DROPPED_ANSWERS.inc()
        raise _broken_off(request, "The client does not read.") from None
    except (web.HTTPException, ConnectionError):
        raise
    except Exception as error:  # the answer has begun: whatever it is can only end the connection
        log.error("a file could not be read to its end", error=repr(error))
        raise _broken_off(request, "The file could not be read to its end.") from error


async def _pump(response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        async with asyncio.timeout(_PATIENCE):
            await response.write(piece)
        FILE_BYTES.labels("out").inc(len(piece))
    async with asyncio.timeout(_PATIENCE):
        await response.write_eof()


def _broken_off(request: web.Request, why: str) -> ConnectionResetError:
    if request.transport is not None:
        request.transport.abort()
    return ConnectionResetError(why)
