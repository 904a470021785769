"""Reads a request's body and decodes it: strict JSON in UTF-8, of bounded size, within a bounded time.

What Postgres or another reader of the same bytes would take otherwise is refused before anything is stored: see
`decode`. Refused here: knowing which keys a body should have; the dialects' models do.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

from aiohttp import web
from aiohttp.hdrs import CONTENT_ENCODING, CONTENT_TYPE

from shared.errors import InvalidJson, InvalidRequest, TooLarge, UnsupportedMediaType

DEPTH = 64  # levels of arrays and objects
SAFE = 2**53  # integers beyond it are not the same number in every reader
KEYS = 1_000  # of one object: more than any request here has, and few enough to report the first wrong one fast
VALUES = 20_000  # commas and brackets outside of strings, in one body: ten times what 100 full events hold
_BEGINNING = 16_384  # bytes
_SPACE = " \t\r\n"  # of JSON
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_PLAIN = bytes(set(range(256)) - set(b"[]{},"))


async def read_json(request: web.Request, limit: int, timeout: float, empty: Any = None) -> Any:
    """The request's body as JSON. `limit` in bytes, `timeout` in seconds for the whole body; `empty` is what a body
    without a byte means, where it means something.

    Raises TooLarge, UnsupportedMediaType, InvalidJson, InvalidRequest.
    """
    _check_encoding(request)
    body = await _read(request, limit, timeout)
    if not body:
        if empty is not None:
            return empty
        raise InvalidJson("The body is empty; a JSON object is expected.")
    _check_type(request)
    return decode(body)


def _check_encoding(request: web.Request) -> None:
    if CONTENT_ENCODING in request.headers and request.headers[CONTENT_ENCODING].lower() != "identity":
        raise UnsupportedMediaType("A body with Content-Encoding is not taken: send it as it is.")


def _check_type(request: web.Request) -> None:
    given = request.headers.get(CONTENT_TYPE, "")
    if given == "application/json":
        return
    name, _, parameters = given.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if name.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", "charset=utf8"):
        raise UnsupportedMediaType


async def _read(request: web.Request, limit: int, timeout: float) -> bytes:
    payload = request.content
    if payload.is_eof():  # whole already: no timer, no loop
        body = payload.read_nowait(-1)
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(timeout):
            return await _read_slowly(payload, limit)
    except TimeoutError:
        raise InvalidRequest(f"The body did not arrive within {timeout:g} s.") from None
    except web.RequestPayloadError:
        raise InvalidRequest("The body's transfer encoding is broken.") from None


async def _read_slowly(payload: Any, limit: int) -> bytes:
    body = bytearray()
    while chunk := await payload.readany():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is over the limit of {limit} bytes.")


def decode(body: bytes) -> Any:
    """The value of strict JSON. Raises InvalidJson, which says what is wrong and, where it can, at which character.

    Refused: what is not UTF-8, a byte order mark, NaN and Infinity, numbers that a double can't hold, integers beyond
    2^53, a key twice in one object, more than `KEYS` keys, nesting beyond `DEPTH`, `\\u0000` and lone surrogates in
    keys and values, anything behind the value.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8 (byte {error.start}).") from None
    if text.startswith("\ufeff"):
        raise InvalidJson("The body begins with a byte order mark.")
    if body.count(b"[") + body.count(b"{") > DEPTH or body.count(b",") > VALUES:
        _check_outline(body)
    value = _parse(text)
    if b"\\u" in body:  # only an escape can spell what UTF-8 and the parser do not refuse already
        _check_strings(value)
    return value


def _parse(text: str) -> Any:
    try:
        value, end = _DECODER.raw_decode(text, len(text) - len(text.lstrip(_SPACE)))
        if rest := text[end:].lstrip(_SPACE):
            raise json.JSONDecodeError("Extra data", text, len(text) - len(rest))
        return value
    except json.JSONDecodeError as error:
        raise InvalidJson(f"The body is not valid JSON: {error.msg} at character {error.pos}.") from None
    except RecursionError:
        raise _too_deep() from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise InvalidJson(f"The key {_shown(twice)} stands twice in one object.")
    if len(pairs) > KEYS:
        raise InvalidJson(f"An object has more than {KEYS} keys.")
    return value


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 17 else SAFE + 1
    if not -SAFE <= value <= SAFE:
        raise InvalidJson(f"The integer {_shown(digits)} is beyond 2^53.")
    return value


def _real(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InvalidJson(f"The number {_shown(digits)} is too large.")
    return value


def _constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not JSON.")


def _shown(text: str) -> str:
    """Text of a client's in a message: in quotes, in ASCII, and not all of it."""
    return json.dumps(text if len(text) <= 40 else text[:39] + "…")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant)


def _check_outline(body: bytes) -> None:
    """Raises where a body nests too deep or holds too many values; what stands within strings does not count.

    A few passes of C over the bytes, before the parser makes an object of each value: a megabyte of `{},` would take
    the loop a tenth of a second. Most that is too deep is so at its beginning, which is looked at first.
    """
    if len(body) > _BEGINNING:
        _check_depth(_outline(body[:_BEGINNING]))
    outline = _outline(body)
    _check_depth(outline[: 2 * VALUES])
    if len(outline) > VALUES:
        raise InvalidRequest(f"The body holds more values than any request has (about {VALUES}).")


def _outline(body: bytes) -> bytes:
    """Its commas and brackets outside of strings, all brackets square."""
    pieces = body.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    return b"".join(pieces).translate(_TO_SQUARE, _PLAIN)


def _check_depth(outline: bytes) -> None:
    """Taking away every innermost pair of brackets takes away one level. What is left over is not balanced: the
    parser says so, unless it is deep in itself.
    """
    brackets = outline.replace(b",", b"")
    for _ in range(DEPTH):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    if brackets.count(b"[") > DEPTH or b"[]" in brackets:
        raise _too_deep()


def _too_deep() -> InvalidJson:
    return InvalidJson(f"The body is nested deeper than {DEPTH} levels.")


def _check_strings(value: Any) -> None:
    for text in _strings(value):
        if "\0" in text:
            raise InvalidJson(f"\\u0000 is not taken, in keys and values: {_shown(text)}.")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidJson(f"A lone surrogate is not taken: {_shown(text)}.") from None


def _strings(value: Any) -> Iterator[str]:
    """Every key and every string in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
