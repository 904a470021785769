"""Our own load generator: keep-alive sockets on one epoll loop, the latency of every answer recorded.

`python -m bench.client`, with one JSON object of `bench.load.Load`'s fields on standard input; one line of JSON
on standard output, of the same shape as the one from `mix.lua`. It checks each answer's status and reads it
whole; an answer that says `apply_pending` is counted.
"""

import heapq
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
        self.sent_at = self.next_at = 0.0

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


def quantiles(latencies: list[float]) -> dict[str, float]:
    """Of seconds, in ms; 0 where there are none."""
    ordered = sorted(latencies) or [0.0]
    return {
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }


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
        return {
            "answers": len(self.latencies),
            "refused": self.refused,
            "broken": self.broken,
            "pending": self.pending,
            "seconds": seconds,
            "cpu_seconds": time.process_time(),
            **quantiles(self.latencies),
        }


class Drive:
    """All clients of one load on one epoll loop; with a rate, each client keeps to its own times."""

    def __init__(self, load: dict[str, Any]) -> None:
        self.load = load
        self.source, self.tally = requests(load), Tally()
        clients = [Client(load["port"]) for _ in range(load["clients"])]
        self.clients = {client.socket.fileno(): client for client in clients}
        self.due: list[tuple[float, int]] = []  # when the next request of a client is to be sent
        self.ready = select.epoll()

    def run(self) -> dict[str, float]:
        """Keeps every client busy for the time, then takes the answers that are still out."""
        started = time.perf_counter()
        ends, out = started + self.load["seconds"], len(self.clients)
        for place, number in enumerate(self.clients):
            self.ready.register(number, select.EPOLLIN)
            self.due.append((started + place * self._interval() / len(self.clients), number))
        while out and (now := time.perf_counter()) < ends + GRACE:
            out -= self._send(now, ends)
            if not out:
                break
            wait = min(1.0, max(0.0, self.due[0][0] - time.perf_counter())) if self.due else 1.0
            for number, _ in self.ready.poll(wait):
                out -= self._take(self.clients[number])
        self.tally.broken += out
        return self.tally.figures(time.perf_counter() - started)

    def _interval(self) -> float:
        """Seconds between two requests of one client; 0: the next one follows the answer."""
        return len(self.clients) / self.load["rate"] if self.load["rate"] else 0.0

    def _send(self, now: float, ends: float) -> int:
        """Sends what is due; how many clients are done for good."""
        done = 0
        while self.due and self.due[0][0] <= now:
            at, number = heapq.heappop(self.due)
            client = self.clients[number]
            if now >= ends:
                done += self._close(client)
                continue
            client.next_at = at + self._interval()
            client.send(next(self.source))
        return done

    def _take(self, client: Client) -> int:
        """Takes what came for one client; 1 where the server hung up on it."""
        try:
            answer = client.receive()
        except OSError:
            self.tally.broken += 1
            return self._close(client)
        if answer is not None:
            now = time.perf_counter()
            self.tally.count(answer, now - client.sent_at)
            heapq.heappush(self.due, (max(now, client.next_at), client.socket.fileno()))
        return 0

    def _close(self, client: Client) -> int:
        self.ready.unregister(client.socket.fileno())
        client.socket.close()
        return 1


if __name__ == "__main__":
    print(json.dumps(Drive(json.load(sys.stdin)).run()))
