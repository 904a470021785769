"""The bench's own client of streams: what it hears must not depend on how the bytes were cut."""

import socket
from collections.abc import Iterator

import pytest

from bench.wire import Stream

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAMES = (
    b": connected\n\n",
    b'event: thread.event\nid: A\ndata: {"id":"A"}\n\n',
    b": still here\n\n",
    b'event: thread.event\nid: B\ndata: {"id":"B"}\n\nevent: thread.event\nid: C\ndata: {"id":"C"}\n\n',
)
ANSWER = HEAD + b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in FRAMES)


@pytest.fixture
def stream() -> Iterator[Stream]:
    """Connected to somebody who says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Stream(listener.getsockname()[1], "a token", "a thread")
        with found.socket:
            yield found


@pytest.mark.parametrize("size", range(1, len(ANSWER) + 1))
def test_events_come_out_whole_wherever_the_bytes_are_cut(stream: Stream, size: int) -> None:
    pieces = [ANSWER[start : start + size] for start in range(0, len(ANSWER), size)]
    heard = [event["id"] for piece in pieces for event in stream.take(piece)]
    assert heard == ["A", "B", "C"]
    assert stream.open


def test_a_stream_that_is_refused_says_so(stream: Stream) -> None:
    with pytest.raises(ConnectionRefusedError, match="401"):
        stream.take(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    assert not stream.open
