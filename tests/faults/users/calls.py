"""One call of a user, however often it was sent, with all that was answered; and how it is sent until that is known.

Refused here: what a call means in its dialect, and any judgement.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp

from tests.contract.dialects.wire import DONE, events
from tests.faults.clients import PAUSES, Sender, reply_of
from tests.faults.history import Answered, Document, Reply

MOST_TRIES = 90
TIMEOUT = aiohttp.ClientTimeout(total=10)  # seconds of one stream or answer; then its client asks again
LEAVES = 0.3  # share of streams that their client leaves in the middle, to ask again with the key
_OVER = {"done", "response", "error"}  # a stream's last event


class Act(StrEnum):
    CREATE = "threads"
    MESSAGE = "messages"
    RUN = "runs"
    DECISION = "decisions"
    INTERRUPT = "interrupts"


@dataclass(slots=True)
class Call(Answered):
    """`marker` stands in what it adds to its thread, and nowhere else."""

    dialect: str
    act: Act
    path: str
    body: Document
    key: str | None
    thread: str = ""  # the native id
    marker: str = ""
    text: str = ""  # of the message that it adds
    streamed: bool = False
    expected: tuple[int, ...] = ()  # statuses that a good request may get, too, as things stand
    run: str | None = None  # that it is about, once that is known
    allow: bool | None = None  # of a decision
    request: str = ""  # the same: what is decided
    replies: list[Reply] = field(default_factory=list)

    @property
    def last(self) -> Reply:
        return self.replies[-1]

    @property
    def known(self) -> bool:
        return bool(self.replies) and not is_open(self.last)

    @property
    def made(self) -> frozenset[str]:
        """The threads (native ids) that answers name as made by it."""
        return frozenset(_made(reply) for reply in self.replies if reply.acknowledged)

    @property
    def has_happened(self) -> bool:
        """It was answered as done, or by what became of its run."""
        return any(reply.acknowledged or is_verdict(reply) for reply in self.replies)


def is_open(reply: Reply) -> bool:
    """Whether nobody knows yet: no whole answer, not now, or the first one is under way."""
    if reply.status in (None, 503):
        return True
    if reply.status == 409:
        return error_of(reply) == "idempotency_conflict" and reply.retry_after is not None
    return "frames" in reply.body and not is_whole(reply.body["frames"])


def is_whole(frames: Sequence[tuple[str, Any]]) -> bool:
    """A stream that came to its end. One that ends because the service could not go on is asked for again."""
    if not frames or frames[-1][0] not in _OVER:
        return False
    return frames[-1][0] != "error" or "." in error_in(frames[-1][1])


def _made(reply: Reply) -> str:
    """The head says it where a dialect's own body does not."""
    return reply.thread or str(reply.body.get("thread", reply.body)["id"])


def is_verdict(reply: Reply) -> bool:
    """In Cortex a run that has no answer is 409 with the run's own code, which has a dot."""
    return reply.status == 409 and "." in error_of(reply)


def error_of(reply: Reply) -> str:
    """The service's own code of an error, in any dialect's envelope."""
    return error_in(reply.body)


def error_in(document: Document) -> str:
    error = document.get("error")
    return str(error["code"] if isinstance(error, dict) else document.get("error_code", ""))


@dataclass(slots=True)
class Line:
    """One user's way to the apis."""

    sender: Sender
    rejoined: int = 0  # streams that were cut or left, and asked for again

    async def settle(self, call: Call) -> bool:
        """Sends a call until it is known, without a key once; whether it is."""
        for _ in range(MOST_TRIES):
            reply = await self._once(call)
            call.replies.append(reply)
            if not is_open(reply):
                return True
            if call.key is None:
                return False
            self.sender.retries += 1
            self.rejoined += "frames" in reply.body
            await asyncio.sleep(self.sender.rng.uniform(*PAUSES))
        return False

    async def read(self, path: str) -> Reply:
        """A GET, until it is answered; the last try's answer is told whatever it is."""
        for _ in range(MOST_TRIES):
            reply = await self.sender.exchange("GET", self.sender.address(path), None, self.sender.headers())
            if not is_open(reply):
                break
            await asyncio.sleep(self.sender.rng.uniform(*PAUSES))
        return reply

    async def _once(self, call: Call) -> Reply:
        url, headers = self.sender.address(call.path), self.sender.headers(call.key)
        if call.streamed:
            return await self._stream(url, call, headers)
        return await self.sender.exchange("POST", url, call.body, headers)

    async def _stream(self, url: str, call: Call, headers: dict[str, str]) -> Reply:
        """What came of a stream before it ended, was cut, or was left; the time of its first event is the answer's."""
        rng, sent, frames, first = self.sender.rng, time.monotonic(), list[tuple[str, Any]](), None
        left = rng.randint(1, 12) if call.key is not None and rng.random() < LEAVES else None
        try:
            async with self.sender.session.post(url, json=call.body, headers=headers, timeout=TIMEOUT) as response:
                if response.content_type != "text/event-stream":
                    return reply_of(sent, response, await response.json())
                async for frame in events(response):
                    first = first or reply_of(sent, response, {"frames": frames})
                    frames.append(frame)
                    if len(frames) == left and frame[1] != DONE:
                        break
        except (aiohttp.ClientError, TimeoutError, ValueError):
            pass  # cut: what came is kept
        return first or Reply(sent, time.monotonic(), None)
