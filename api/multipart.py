"""A form with one file in it (`multipart/form-data`, RFC 7578), read as it comes, a piece at a time.

Refused here: everything that an upload is not (other fields, forms within forms, encodings), and guessing. aiohttp's
own reader takes slashes off names and finds parts in what is none.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import StreamReader, web
from aiohttp.hdrs import CONTENT_ENCODING, CONTENT_TYPE

from shared.errors import InvalidRequest, TooLarge, UnsupportedMediaType

HEAD = 8 << 10  # bytes of a part's headers: a name of 255 characters takes 3 KiB, escaped
OVERHEAD = 64 << 10  # bytes that a form may have besides its file
_BEHIND = 1 << 10  # bytes behind the last boundary, which mean nothing
_BOUNDARY = re.compile(r"multipart/form-data\s*;.*?\bboundary=(?:\"([^\"]*)\"|([^;\s]*))", re.IGNORECASE | re.DOTALL)
_TAKEN = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, section 5.1.1
_PARAMETER = re.compile(r";\s*([a-z]+\*?)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\s\"]*))\s*", re.IGNORECASE)
_PLAIN = frozenset({"", "7bit", "8bit", "binary"})
_ESCAPES = {"%22": '"', "%0d": "\r", "%0a": "\n", '\\"': '"', "\\\\": "\\"}  # of browsers, and of older clients
_ESCAPED = re.compile(r'%22|%0d|%0a|\\"|\\\\', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before a file's bytes."""

    name: str  # of the file
    type: str


class Form:
    """One form. `head`, then `pieces` to their end. `limit`: bytes of the file; `patience`: seconds for a piece.

    Making it raises UnsupportedMediaType, InvalidRequest, TooLarge: nothing of the body has been read then.
    """

    def __init__(self, request: web.Request, limit: int, patience: float) -> None:
        _check_encoding(request)
        self._mark = b"\r\n--" + _boundary(request.headers.get(CONTENT_TYPE, ""))
        self._content: StreamReader = request.content
        self._length = request.content_length
        self._limit, self._patience = limit, patience
        self._buffer = b"\r\n"  # so that the first boundary is like the others
        self._read = 0  # bytes of the body
        if (self._length or 0) > limit + OVERHEAD:
            raise self._too_large()

    @property
    def most(self) -> int:
        """Bytes that the file may come to, once its head is read: what the request's length leaves, or the limit."""
        if self._length is None:
            return self._limit
        left = self._length - self._read + len(self._buffer) - len(self._mark) - len("--")
        return max(0, min(left, self._limit))

    async def head(self) -> Head:
        """Raises InvalidRequest, which says what is wrong with the form or its only field. All of it takes as long as a
        piece may: who sends a byte now and then would stay for a day.
        """
        try:
            async with asyncio.timeout(self._patience):
                return await self._read_head()
        except TimeoutError:
            raise InvalidRequest(f"The headers of the field did not arrive within {self._patience:g} s.") from None

    async def _read_head(self) -> Head:
        await self._fill(len(self._mark) + 2)
        if not self._buffer.startswith(self._mark):
            raise InvalidRequest("The body does not begin with the boundary of its Content-Type.")
        self._buffer = self._buffer[len(self._mark) :]
        if self._buffer.startswith(b"--"):
            raise InvalidRequest("file: the field is missing.", param="file")
        while (end := self._buffer.find(b"\r\n\r\n", 0, HEAD)) < 0:
            if len(self._buffer) >= HEAD:
                raise InvalidRequest(f"The headers of a field are longer than {HEAD} bytes.")
            await self._more()
        block, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return _head(block)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes of the file. Raises InvalidRequest, TooLarge, also where something stands behind it."""
        found, keep = 0, len(self._mark) - 1  # what may be the beginning of a boundary waits for the rest of it
        while (end := self._buffer.find(self._mark)) < 0:
            if len(self._buffer) > keep:
                piece, self._buffer = self._buffer[:-keep], self._buffer[-keep:]
                found += len(piece)
                self._check(found)
                yield piece
            await self._more()
        last, self._buffer = self._buffer[:end], self._buffer[end + len(self._mark) :]
        self._check(found + len(last))
        if last:
            yield last
        await self._end()

    async def _end(self) -> None:
        await self._fill(2)
        if not self._buffer.startswith(b"--"):
            raise InvalidRequest("There is a second field; only `file` is taken.")
        behind = len(self._buffer)
        while behind <= _BEHIND:
            if not (data := await self._next()):
                return
            behind += len(data)
        raise InvalidRequest("Something stands behind the last boundary.")

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            await self._more()

    async def _more(self) -> None:
        data = await self._next()
        if not data:
            raise InvalidRequest("The body ends before its last boundary.")
        self._buffer += data

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._patience):
                data = await self._content.readany()
        except TimeoutError:
            raise InvalidRequest(f"No more of the body arrived within {self._patience:g} s.") from None
        except web.RequestPayloadError as error:
            error.__traceback__ = None  # the stream keeps it, and it would keep this form's bytes
            raise InvalidRequest("The body ends too early, or its transfer encoding is broken.") from None
        except ConnectionError as error:
            error.__traceback__ = None  # the same
            raise ConnectionResetError("The client is gone.") from None
        self._read += len(data)
        return data

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"file: the file is over the limit of {self._limit} bytes.", param="file")


def _check_encoding(request: web.Request) -> None:
    if request.headers.get(CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedMediaType("A body with Content-Encoding is not taken: send it as it is.")


def _boundary(given: str) -> bytes:
    if given.partition(";")[0].strip().lower() != "multipart/form-data":
        raise UnsupportedMediaType("The body must be `multipart/form-data`, with the file in its field `file`.")
    found = _BOUNDARY.match(given.strip())
    boundary = "" if found is None else found[1] or found[2] or ""
    if not _TAKEN.fullmatch(boundary):
        raise InvalidRequest("Content-Type: the boundary is missing, or is none.")
    return boundary.encode("ascii")


def _head(block: bytes) -> Head:
    fields = _fields(block)
    kind, parameters = _disposition(fields.get("content-disposition", ""))
    if kind != "form-data" or "name" not in parameters:
        raise InvalidRequest("A field has no name: Content-Disposition must be `form-data` with a name.")
    if parameters["name"] != "file":
        raise InvalidRequest("There is another field than `file`; only that one is taken.")
    if fields.get("content-transfer-encoding", "").lower() not in _PLAIN:
        raise InvalidRequest("file: a Content-Transfer-Encoding is not taken: send it as it is.", param="file")
    type_ = fields.get("content-type", "")
    if type_.lower().startswith("multipart/"):
        raise InvalidRequest("file: a form within the form is not taken: send one file.", param="file")
    return Head(_file_name(parameters), type_)


def _fields(block: bytes) -> dict[str, str]:
    """Header fields by their lower-case names. `block` begins with what stands behind the boundary on its line."""
    padding, *lines = block.split(b"\r\n")
    if padding.strip(b" \t"):
        raise InvalidRequest("A boundary does not end with its line.")
    fields: dict[str, str] = {}
    for line in lines:
        try:
            name, colon, value = line.decode().partition(":")
        except UnicodeDecodeError:
            raise InvalidRequest("The headers of a field are not UTF-8.") from None
        if not colon or not name or name != name.strip() or name.lower() in fields:
            raise InvalidRequest("The headers of a field are broken: each is `Name: value`, once.")
        fields[name.lower()] = value.strip()
    return fields


def _disposition(given: str) -> tuple[str, dict[str, str]]:
    """The kind, and its parameters; of what can't be read to its end none."""
    kind, _, rest = given.partition(";")
    rest, at, found = f";{rest}" if rest else "", 0, dict[str, str]()
    while at < len(rest):
        parameter = _PARAMETER.match(rest, at)
        if parameter is None:
            return "", {}
        found.setdefault(parameter[1].lower(), parameter[2] if parameter[2] is not None else parameter[3])
        at = parameter.end()
    return kind.strip().lower(), found


def _file_name(parameters: dict[str, str]) -> str:
    """Empty where there is none."""
    extended = parameters.get("filename*", "")
    charset, _, rest = extended.partition("'")
    if charset.lower() == "utf-8" and "'" in rest:
        return unquote(rest.partition("'")[2], errors="replace")
    given = parameters.get("filename", "")
    return _ESCAPED.sub(lambda escape: _ESCAPES[escape[0].lower()], given)
