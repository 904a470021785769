"""Clients that make trouble by doing nothing: streams that are never read, and requests that are never finished.

`python -m bench.idlers`, for `bench.crowd`. Says on which ports its streams sit, for only the server's side shows when
they are cut; of its requests it says itself how long they were left open. Half of them stop in the head, half in the
body. A stream is read until its answer has begun, and never again.
"""

import json
import select
import sys
import time
from socket import socket
from typing import Any, NamedTuple

from bench.wire import Stream, connect

RECEIVE_BUFFER = 4096  # bytes: what is not read stays with the server
_HEAD = "POST /api/v1/threads/{thread}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
_REST = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + '{"events":['


class Request(NamedTuple):
    """One that was half sent."""

    connection: socket
    kind: str  # head | body: where it stops
    since: float  # its last byte


def streams(given: dict[str, Any]) -> list[Stream]:
    """All of them open. Raises OSError."""
    port, token, threads = given["port"], given["token"], given["threads"]
    found = [Stream(port, token, threads[n % len(threads)], RECEIVE_BUFFER) for n in range(given["streams"])]
    for stream in found:
        while not stream.open:
            stream.receive()
    return found


def half_sent(given: dict[str, Any]) -> dict[int, Request]:
    """By the number of its connection."""
    head = _HEAD.format(thread=given["threads"][0], token=given["token"])
    opened = {}
    for n in range(given["requests"]):
        connection, kind = connect(given["port"]), ("head", "body")[n % 2]
        connection.sendall((head if kind == "head" else head + _REST).encode())
        opened[connection.fileno()] = Request(connection, kind, time.monotonic())
    return opened


def until_closed(opened: dict[int, Request], seconds: float) -> dict[str, list[float]]:
    """Waits for the server to hang up; how long each took, seconds, by kind. Ends early where nobody wants to know."""
    ready, ends = select.epoll(), time.monotonic() + seconds
    taken: dict[str, list[float]] = {"head": [], "body": []}
    for number in (*opened, sys.stdin.fileno()):
        ready.register(number, select.EPOLLIN)
    while sum(map(len, taken.values())) < len(opened) and time.monotonic() < ends:
        for number, _ in ready.poll(1.0):
            if number not in opened:
                return taken
            request = opened[number]
            if _is_closed(request.connection):
                ready.unregister(number)
                taken[request.kind].append(time.monotonic() - request.since)
    return taken


def _is_closed(connection: socket) -> bool:
    """Takes the answer that it may have got before."""
    try:
        return not connection.recv(4096)
    except OSError:
        return True


def main() -> None:
    given = json.loads(sys.stdin.readline())
    unread = streams(given)
    opened = half_sent(given)
    print(json.dumps({"ports": [stream.socket.getsockname()[1] for stream in unread]}), flush=True)
    taken = until_closed(opened, given["seconds"])
    slowest = {kind: max(times, default=0.0) for kind, times in taken.items()}
    print(json.dumps({"closed": sum(map(len, taken.values())), **slowest}), flush=True)
    sys.stdin.read()  # the streams stay open until nobody looks at them any more


if __name__ == "__main__":
    main()
