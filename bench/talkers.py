"""Clients that talk: each sends a message to its thread, reads the thread's stream until the run is completed, and
sends the next one. `python -m bench.talkers`, for `bench.crowd`.

A run's time is from the POST to the moment when both its answer and its last event are here.
"""

import json
import select
import sys
import time
from typing import Any

from bench.client import GRACE, Client, quantiles
from bench.wire import Stream

TEXT = "What is the answer to that?"
HEAD = (
    "POST /api/v1/threads/{thread}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)
_ENDS = {"run.completed", "run.failed"}


class Talker:
    """One client: a connection for what it says, and a stream for what it hears."""

    def __init__(self, port: int, token: str, thread: str) -> None:
        body = json.dumps({"events": [{"type": "user_message", "text": TEXT}]}).encode()
        self.request = HEAD.format(thread=thread, token=token, length=len(body)).encode() + body
        self.poster, self.stream = Client(port), Stream(port, token, thread)
        while not self.stream.open:
            self.stream.receive()
        self.run: str | None = None  # the run that the last answer named
        self.over: dict[str, str] = {}  # runs whose end was heard -> how

    def say(self) -> None:
        self.run = None
        self.over.clear()
        self.poster.send(self.request)

    def take_answer(self) -> None:
        """Raises OSError where the connection is lost, ValueError where the message was refused."""
        if (answer := self.poster.receive()) is None:
            return
        head, _, body = answer.partition(b"\r\n\r\n")
        if head[9:12] != b"200":
            raise ValueError(f"refused: {head[:40]!r}")
        self.run = json.loads(body)["events"][0]["run"]["id"]

    def hear(self) -> None:
        self.over |= {event["runId"]: event["type"] for event in self.stream.receive() if event["type"] in _ENDS}


class Talk:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.talkers = [Talker(given["port"], given["token"], thread) for thread in given["threads"]]
        self.latencies: list[float] = []
        self.failed = self.broken = 0

    def run(self) -> dict[str, float]:
        """Talks for the time, then waits for the runs that are under way."""
        turns, ready = {}, select.epoll()
        for talker in self.talkers:
            turns[talker.poster.socket.fileno()] = talker, talker.take_answer
            turns[talker.stream.socket.fileno()] = talker, talker.hear
        for number in turns:
            ready.register(number, select.EPOLLIN)
        started, spent = time.perf_counter(), time.process_time()
        ends, out = started + self.given["seconds"], len(self.talkers)
        for talker in self.talkers:
            talker.say()
        while out and time.perf_counter() < ends + GRACE:
            for number, _ in ready.poll(1.0):
                talker, take = turns[number]
                try:
                    take()
                except (OSError, ValueError):
                    ready.unregister(number)
                    self.broken += 1
                    out -= 1
                else:
                    out -= self._go_on(talker, ends)
        self.broken += out
        return {
            "runs": len(self.latencies),
            "failed": self.failed,
            "broken": self.broken,
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - spent,
            **quantiles(self.latencies),
        }

    def _go_on(self, talker: Talker, ends: float) -> int:
        """The next message, where the run of the last one is over; 1 where the time is up."""
        if talker.run is None or talker.run not in talker.over:
            return 0
        now = time.perf_counter()
        self.latencies.append(now - talker.poster.sent_at)
        self.failed += talker.over[talker.run] != "run.completed"
        if now >= ends:
            talker.run = None
            return 1
        talker.say()
        return 0


if __name__ == "__main__":
    talk = Talk(json.loads(sys.stdin.readline()))
    print("{}", flush=True)
    print(json.dumps(talk.run()), flush=True)
