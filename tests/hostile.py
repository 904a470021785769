"""Hostile requests, byte for byte, and what each must be answered. For the contract's tests and for the bench."""

import gzip
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from api.reference.files import DIALECTS

MIB = 1 << 20
JSON = "Content-Type: application/json"
# Texts that a statement made of them would run; each is a text and nothing else.
SQL = [
    "'; drop table batches; --",
    "Robert'); delete from threads where ('1'='1",
    "$1 $2 %s %(a)s {0} :name",
    "\\'; select pg_sleep(10); --",
    "' union select secret from tokens --",
    "\\x00 \\0 \\u0041 E'\\\\' \"quoted\" `ticks`",
    "\u202eright to left\u202c \U0001f600 \x7f \x01",
]


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request: `head` are its header lines, without those that every request has."""

    status: int
    code: str
    body: bytes
    head: tuple[str, ...] = (JSON,)
    length: bool = True  # whether Content-Length is told


def _event(text: bytes) -> bytes:
    return b'{"events":[{"type":"user_message","text":"%b"}]}' % text


def _number(digits: str) -> bytes:
    return b'{"events":[{"type":"user_message","text":%b}]}' % digits.encode()


def _chunked(body: bytes, size: int = 65_536) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


FINE = _event(b"hello")

REQUESTS = {
    "invalid UTF-8": Hostile(400, "invalid_json", _event(b"\xff\xfe")),
    "a byte order mark": Hostile(400, "invalid_json", b"\xef\xbb\xbf" + FINE),
    "UTF-16": Hostile(400, "invalid_json", FINE.decode().encode("utf-16")),
    "UTF-16, told": Hostile(
        415, "invalid_request", FINE.decode().encode("utf-16"), ("Content-Type: application/json; charset=utf-16",)
    ),
    "NUL, raw, in a value": Hostile(400, "invalid_json", _event(b"a\x00b")),
    "NUL, raw, in a key": Hostile(400, "invalid_json", b'{"ev\x00ents":[]}'),
    "NUL, escaped, in a value": Hostile(400, "invalid_json", _event(b"a\\u0000b")),
    "NUL, escaped, in a key": Hostile(400, "invalid_json", b'{"ev\\u0000ents":[]}'),
    "a lone high surrogate": Hostile(400, "invalid_json", _event(b"\\ud800")),
    "a lone low surrogate": Hostile(400, "invalid_json", _event(b"\\udfff")),
    "NaN": Hostile(400, "invalid_json", _number("NaN")),
    "Infinity": Hostile(400, "invalid_json", _number("-Infinity")),
    "1e999": Hostile(400, "invalid_json", _number("1e999")),
    "1e131071": Hostile(400, "invalid_json", _number("1e131071")),
    "an integer of 5,000 digits": Hostile(400, "invalid_json", _number("9" * 5_000)),
    "2^53 + 1": Hostile(400, "invalid_json", _number(str(2**53 + 1))),
    "depth 100,000": Hostile(400, "invalid_json", b"[" * 100_000 + b"]" * 100_000),
    "depth 100,000, of objects, open": Hostile(400, "invalid_json", b'{"a":' * 100_000),
    "a key twice": Hostile(400, "invalid_json", b'{"events":[],"events":[{"type":"user_interrupt"}]}'),
    "trailing data": Hostile(400, "invalid_json", FINE + FINE),
    "1 MiB + 1": Hostile(413, "invalid_request", _event(b"a" * (MIB + 1 - len(_event(b""))))),
    "1 MiB + 1, in chunks": Hostile(
        413,
        "invalid_request",
        _chunked(_event(b"a" * (MIB + 1 - len(_event(b""))))),
        (JSON, "Transfer-Encoding: chunked"),
        length=False,
    ),
    "100,001 events": Hostile(400, "invalid_request", b'{"events":[' + b",".join([b"{}"] * 100_001) + b"]}"),
    "101 events": Hostile(400, "invalid_request", json.dumps({"events": [{"type": "user_interrupt"}] * 101}).encode()),
    "20 events with 999 unknown keys each": Hostile(
        400,
        "invalid_request",
        json.dumps({"events": [{f"k{n}": 1 for n in range(999)}] * 20}).encode(),
    ),
    "a gzip bomb": Hostile(415, "invalid_request", gzip.compress(b"0" * (10 * MIB)), (JSON, "Content-Encoding: gzip")),
    "a deflated body": Hostile(415, "invalid_request", FINE, (JSON, "Content-Encoding: deflate")),
    "a wrong content type": Hostile(415, "invalid_request", FINE, ("Content-Type: text/plain",)),
    "a form": Hostile(415, "invalid_request", b"events=1", ("Content-Type: application/x-www-form-urlencoded",)),
    "no content type": Hostile(415, "invalid_request", FINE, ()),
    "no body": Hostile(400, "invalid_json", b""),
    "Content-Length with Transfer-Encoding": Hostile(
        400, "invalid_request", _chunked(FINE), (JSON, "Transfer-Encoding: chunked")
    ),
    "two Content-Lengths": Hostile(400, "invalid_request", FINE, (JSON, "Content-Length: 3")),
    "a negative Content-Length": Hostile(400, "invalid_request", FINE, (JSON, "Content-Length: -1"), length=False),
    "a chunk of no length": Hostile(
        400, "invalid_request", b"xyz\r\n" + FINE, (JSON, "Transfer-Encoding: chunked"), length=False
    ),
    "CR in Idempotency-Key": Hostile(400, "invalid_request", FINE, (JSON, "Idempotency-Key: a\rb")),
    "LF in Idempotency-Key": Hostile(400, "invalid_request", FINE, (JSON, "Idempotency-Key: a\nb")),
    "NUL in Idempotency-Key": Hostile(400, "invalid_request", FINE, (JSON, "Idempotency-Key: a\0b")),
    "a control character in Idempotency-Key": Hostile(400, "invalid_request", FINE, (JSON, "Idempotency-Key: a\x01b")),
    "bytes that are no UTF-8 in Idempotency-Key": Hostile(
        400, "invalid_request", FINE, (JSON, "Idempotency-Key: a\xffb")
    ),
    "two Idempotency-Keys": Hostile(400, "invalid_request", FINE, (JSON, "Idempotency-Key: a", "Idempotency-Key: b")),
    "a header of 100,000 bytes": Hostile(400, "invalid_request", FINE, (JSON, "X-Long: " + "a" * 100_000)),
    "1,000 headers": Hostile(400, "invalid_request", FINE, (JSON, *[f"X-{n}: a" for n in range(1_000)])),
}

_UNKNOWN_KEYS = {"101 events", "20 events with 999 unknown keys each"}


@dataclass(frozen=True, slots=True)
class Target:
    """A route that takes JSON. Its `path` has the documents' parameters; an `empty` body may be one that it takes."""

    dialect: str
    method: str
    path: str
    empty: bool

    def rows(self) -> dict[str, Hostile]:
        """What is wrong on this route: not no body where none is needed, nor keys that an open dialect ignores."""
        left_out = set() if self.dialect == "mosoo" else _UNKNOWN_KEYS
        return {
            name: row
            for name, row in REQUESTS.items()
            if name not in left_out and not (self.empty and name == "no body")
        }


def targets() -> list[Target]:
    """Every operation of all documents that has a body of JSON."""
    return [
        Target(dialect.name, one.method.upper(), dialect.root.rstrip("/") + one.path, not one.body_required)
        for dialect in DIALECTS.values()
        for one in dialect.operations
        if one.body is not None
    ]


def to_events(hostile: Hostile, token: str, thread: str) -> bytes:
    """The bytes to send to the route that takes most of them."""
    return request(hostile, token, f"/api/v1/threads/{thread}/events")


def request(hostile: Hostile, token: str, path: str, method: str = "POST") -> bytes:
    """The bytes to send."""
    lines = [f"{method} {path} HTTP/1.1", "Host: threadmill", f"Authorization: Bearer {token}"]
    if hostile.length:
        lines.append(f"Content-Length: {len(hostile.body)}")
    lines += [*hostile.head, "Connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + hostile.body


def exchange(url: str, data: bytes, timeout: float = 10.0) -> tuple[int, bytes]:
    """Status and body of the answer to some bytes, on a connection of their own."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port or 80), timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(data)
        answer = b"".join(_received(connection))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def _received(connection: socket.socket) -> Iterator[bytes]:
    while piece := connection.recv(65_536):
        yield piece
