"""Our own load generator: keep-alive sockets on one epoll loop, the latency of every answer recorded.

`python -m bench.client`, with one JSON object of `bench.load.Load`'s fields on standard input; one line of JSON
on standard output, of the same shape as the one from `mix.lua`. It checks each answer's status and reads it
whole; an answer that says `apply_pending` is counted.
"""

import json
import random
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from shared import ids

GRACE = 10.0  # seconds for the answers that are still out when the time is up
HEAD = (
    "POST /api/v1/threads/{thread}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    "{prefer}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)


def requests(load: dict[str, Any]) -> Iterator[bytes]:
    """Endless requests of the mix, over the threads at random."""
    dice = random.Random(load["seed"])
    prefer = f"Prefer: {load['prefer']}\r\n" if load["prefer"] else ""
    serial = 0
    while True:
        serial += 1
        body = _body(dice.randrange(100), load["messages"], load["interrupts"], serial)
        thread = dice.choice(load["threads"])
        yield HEAD.format(thread=thread, token=load["token"], prefer=prefer, length=len(body)).encode() + body


def _body(dice: int, messages: int, interrupts: int, serial: int) -> bytes:
    event: dict[str, str]
    if dice < messages:
        event = {"type": "user_message", "text": f"Message {serial} from the bench."}
    elif dice < messages + interrupts:
        event = {"type": "user_interrupt"}
    else:
        event = {"type": "permission_decision", "requestId": ids.mint(), "decision": "allow_once"}
    return json.dumps({"events": [event]}, separators=(",", ":")).encode()


class Client:
    """One connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=GRACE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.buffer = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The whole answer, or None where more is to come. Raises OSError where the server hung up."""
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionResetError("the server closed the connection")
        self.buffer += piece
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        return self.buffer if separator and len(body) >= _content_length(head) else None


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0])


class Tally:
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.refused = self.broken = self.pending = 0

    def count(self, answer: bytes, seconds: float) -> None:
        if answer[9:12] != b"200":
            self.refused += 1
            return
        self.latencies.append(seconds)
        self.pending += b"apply_pending" in answer

    def figures(self, seconds: float) -> dict[str, float]:
        ordered = sorted(self.latencies) or [0.0]
        return {
            "answers": len(self.latencies),
            "refused": self.refused,
            "broken": self.broken,
            "pending": self.pending,
            "seconds": seconds,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1e3,
            "max_ms": ordered[-1] * 1e3,
        }


def drive(load: dict[str, Any]) -> dict[str, float]:
    """Keeps every client busy for the time, then takes the answers that are still out."""
    source, tally = requests(load), Tally()
    clients = {client.socket.fileno(): client for client in (Client(load["port"]) for _ in range(load["clients"]))}
    with select.epoll() as ready:
        started = time.perf_counter()
        for number, client in clients.items():
            ready.register(number, select.EPOLLIN)
            client.send(next(source))
        ends, out = started + load["seconds"], len(clients)
        while out and time.perf_counter() < ends + GRACE:
            for number, _ in ready.poll(1.0):
                out -= _step(clients[number], source, tally, ready, ends)
    tally.broken += out
    return tally.figures(time.perf_counter() - started)


def _step(client: Client, source: Iterator[bytes], tally: Tally, ready: select.epoll, ends: float) -> int:
    """Takes what came for one client and sends its next request; 1 where it is done for good."""
    try:
        answer = client.receive()
        if answer is None:
            return 0
        now = time.perf_counter()
        tally.count(answer, now - client.sent_at)
        if now < ends:
            client.send(next(source))
            return 0
    except OSError:
        tally.broken += 1
    ready.unregister(client.socket.fileno())
    client.socket.close()
    return 1


if __name__ == "__main__":
    print(json.dumps(drive(json.load(sys.stdin))))
