"""Clients that listen: a stream a thread, and how old each tick is that comes out of it (`bench.runners.ticks`).

`python -m bench.listeners`, for `bench.crowd`. They end when the run of each thread is over, or when they are told to.
Ticks count while all of them listen to a run, from the last run's first tick to the first run's last.
"""

import json
import select
import sys
import time
from typing import Any

from bench.client import GRACE, quantiles
from bench.wire import Stream

_ENDS = {"run.completed", "run.failed"}
_DELTA = "agent.message.delta"
Tick = tuple[int, int]  # when it was yielded and when it was here, ns


class Listeners:
    def __init__(self, given: dict[str, Any]) -> None:
        self.seconds = given["seconds"]
        streams = [Stream(given["port"], given["token"], thread) for thread in given["threads"]]
        self.streams = {stream.socket.fileno(): stream for stream in streams}
        self.ticks: dict[str, list[Tick]] = {stream.thread: [] for stream in streams}
        self.over: dict[str, str] = {}  # threads whose run is over -> how
        self.lost = 0
        self.ready = select.epoll()
        for number in self.streams:
            self.ready.register(number, select.EPOLLIN)

    def until_open(self) -> None:
        """Raises TimeoutError, OSError."""
        ends = time.monotonic() + GRACE
        while not all(stream.open for stream in self.streams.values()):
            if time.monotonic() > ends:
                raise TimeoutError("streams that never opened")
            self._take(1.0)

    def run(self) -> dict[str, Any]:
        """Listens until all is over, the time is up, or nobody wants to know any more."""
        spent, ends = time.process_time(), time.monotonic() + self.seconds
        self.ready.register(sys.stdin.fileno(), select.EPOLLIN)
        while self._take(1.0) and len(self.over) < len(self.streams) and time.monotonic() < ends:
            pass
        return {
            "lost": self.lost,
            "completed": sum(how == "run.completed" for how in self.over.values()),
            "heard": sorted(len(ticks) for ticks in self.ticks.values()),
            "ordered": all(ticks == sorted(ticks) for ticks in self.ticks.values()),
            "cpu_seconds": time.process_time() - spent,
            **self._ages(),
        }

    def _take(self, wait: float) -> bool:
        """What has come; False where we are told to end."""
        for number, _ in self.ready.poll(wait):
            if number not in self.streams:
                return False
            try:
                self._hear(self.streams[number])
            except OSError:
                self.lost += 1
                self.ready.unregister(number)
        return True

    def _hear(self, stream: Stream) -> None:
        events = stream.receive()
        now = time.time_ns()
        for event in events:
            if event["type"] == _DELTA:
                self.ticks[stream.thread] += [(int(tick), now) for tick in event["content"].split()]
            elif event["type"] in _ENDS:
                self.over[stream.thread] = event["type"]

    def _ages(self) -> dict[str, float]:
        if not all(self.ticks.values()):
            return {"ticks": 0, **quantiles([])}
        begins = max(ticks[0][0] for ticks in self.ticks.values())
        ends = min(ticks[-1][0] for ticks in self.ticks.values())
        ages = [(here - said) / 1e9 for ticks in self.ticks.values() for said, here in ticks if begins <= said <= ends]
        return {"ticks": len(ages), **quantiles(ages)}


if __name__ == "__main__":
    listeners = Listeners(json.loads(sys.stdin.readline()))
    listeners.until_open()
    print("{}", flush=True)
    print(json.dumps(listeners.run()), flush=True)
