"""One open stream of a thread's log, as its client sees it: a socket of its own, and the events that come out of it.

As little as can be: the clients share two cores with what they measure. Refused here: coming back after a loss.
"""

import json
import socket
from typing import Any

TIMEOUT = 20.0  # seconds for a connection, and for the head of the answer
_PIECE = 65536
_EVENT = b"event: thread.event\n"
HEAD = (
    "GET /api/v1/threads/{thread}/events/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    "Accept: text/event-stream\r\n\r\n"
)


def connect(port: int, receive_buffer: int = 0) -> socket.socket:
    """`receive_buffer`: bytes that the system takes in for a client that does not read; 0: as many as it likes."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(TIMEOUT)
    connection.connect(("127.0.0.1", port))
    return connection


class Stream:
    """Sends its request at once; `receive` takes what has come of the answer."""

    def __init__(self, port: int, token: str, thread: str, receive_buffer: int = 0) -> None:
        self.thread = thread
        self.socket = connect(port, receive_buffer)
        self.socket.sendall(HEAD.format(thread=thread, token=token).encode())
        self.open = False  # the head of the answer is here, and it is a 200
        self._raw = self._text = b""

    def receive(self) -> list[dict[str, Any]]:
        """The events that are whole now. Raises OSError where the server hung up, or refused."""
        piece = self.socket.recv(_PIECE)
        if not piece:
            raise ConnectionResetError("the server ended the stream")
        return self.take(piece)

    def take(self, piece: bytes) -> list[dict[str, Any]]:
        """The events that are whole with this piece of the answer. Raises OSError where it is a refusal."""
        self._raw += piece
        if not self.open and not self._take_head():
            return []
        self._take_chunks()
        *frames, self._text = self._text.split(b"\n\n")
        return [json.loads(frame.partition(b"\ndata: ")[2]) for frame in frames if frame.startswith(_EVENT)]

    def _take_head(self) -> bool:
        head, separator, rest = self._raw.partition(b"\r\n\r\n")
        if separator and head[9:12] != b"200":
            raise ConnectionRefusedError(f"the stream was refused: {head[:60]!r}")
        if separator:
            self.open, self._raw = True, rest
        return self.open

    def _take_chunks(self) -> None:
        """HTTP's chunks off, as far as they are whole."""
        start = 0
        while (line := self._raw.find(b"\r\n", start)) >= 0:
            end = line + 2 + int(self._raw[start:line], 16)
            if len(self._raw) < end + 2:
                break
            self._text += self._raw[line + 2 : end]
            start = end + 2
        self._raw = self._raw[start:]
