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

from tests.contract.dialects.wire import DONE, UNREADABLE, Frame, frames
from tests.faults.clients import PAUSES, TIMEOUT, Sender, read, reply_of
from tests.faults.history import NO_JSON, Answered, Document, Reply

MOST_TRIES = 90
PATIENCE = 30.0  # seconds of a call about a run, which may last 10 and lose a worker; then its client asks again
LEAVES = 0.3  # share of streams that their client leaves in the middle, to ask again with the key
_OVER = {"done", "response", "error"}  # a stream's last event
_LATER = "service_inactive"
CANCELLING = "cancelling"  # of a run, as OpenAI has it


class Act(StrEnum):
    CREATE = "threads"
    MESSAGE = "messages"
    RUN = "runs"
    DECISION = "decisions"
    INTERRUPT = "interrupts"


OF_RUNS = frozenset({Act.RUN, Act.DECISION})  # what is answered while a run goes on
Refusal = tuple[int, str]  # status, and the service's own code


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
    expected: tuple[Refusal, ...] = ()  # that a good request may get, too, as things stand
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

    @property
    def is_done(self) -> bool:
        """It was answered, to the end, as something that had its effect."""
        whole = (one for one in self.replies if one.acknowledged and not is_open(one) and not refusal_of(one))
        return any(map(is_verdict, self.replies)) or any(whole)

    def may_get(self, reply: Reply) -> bool:
        """Whether a good request may: silence, "not now" in the contract's words and with the time to come again, what
        is done, what became of its run, or what is expected.
        """
        refusal = refusal_of(reply)
        if refusal is None:
            return reply.status is None or reply.acknowledged
        if reply.acknowledged and refusal[1] == _LATER:  # a stream's last words have no place for a time
            return True
        if reply.status == 503:
            return refusal[1] == _LATER and reply.retry_after is not None
        return is_open(reply) or (is_verdict(reply) and self.act in OF_RUNS) or refusal in self.expected

    @property
    def is_refused(self) -> bool:
        """Its last answer says that it had no effect, and each one before was that or "under way"."""
        heard = all(reply.status not in (None, 503) for reply in self.replies)
        return self.known and heard and not self.is_done and refusal_of(self.last) is not None


def is_open(reply: Reply) -> bool:
    """Whether nobody knows yet: no whole answer, not now, or the first one is under way."""
    if reply.status in (None, 503):
        return True
    if reply.status == 409:
        return error_of(reply) == "idempotency_conflict" and reply.retry_after is not None
    told = frames_of(reply)
    return told is not None and not is_whole(told)


def is_pending(reply: Reply) -> bool:
    """A cancel that is accepted: what came of it is for whoever asks again."""
    return reply.acknowledged and isinstance(reply.body, dict) and reply.body.get("status") == CANCELLING


def is_whole(told: Sequence[Frame]) -> bool:
    """A stream that came to its end, or to what can't be read. One that ends because the service could not go on is
    asked for again.
    """
    if any(name == UNREADABLE for name, _ in told):
        return True
    if not told or told[-1][0] not in _OVER:
        return False
    return told[-1][0] != "error" or error_in(told[-1][1]) != _LATER


def refusal_of(reply: Reply) -> Refusal | None:
    """Status and code of an answer that is an error, of a stream that ends in one, or of what can't be read."""
    told = frames_of(reply)
    if told is None:
        return None if reply.status is None or reply.acknowledged else (reply.status, error_of(reply))
    if any(name == UNREADABLE for name, _ in told):
        return reply.status or 0, NO_JSON
    if not told or told[-1][0] != "error":
        return None
    last = told[-1][1] if isinstance(told[-1][1], dict) else {}
    digits = str(last.get("code", ""))[-3:]  # Cortex says its status in them
    return int(digits) if digits.isdecimal() else reply.status or 0, error_in(last)


def frames_of(reply: Reply) -> Sequence[Frame] | None:
    return reply.body.get("frames") if isinstance(reply.body, dict) else None


def _made(reply: Reply) -> str:
    """The head says it where a dialect's own body does not."""
    return reply.thread or str(reply.body.get("thread", reply.body)["id"])


def is_verdict(reply: Reply) -> bool:
    """In Cortex a run that has no answer is 409 with the run's own code, which has a dot."""
    status, code = refusal_of(reply) or (0, "")
    return status == 409 and "." in code


def error_of(reply: Reply) -> str:
    """The service's own code of an error, in any dialect's envelope."""
    return error_in(reply.body)


def error_in(document: Any) -> str:
    if not isinstance(document, dict):
        return ""
    error = document.get("error")
    return str(error.get("code", "") if isinstance(error, dict) else document.get("error_code", ""))


@dataclass(slots=True)
class Line:
    """One user's way to the apis."""

    sender: Sender
    rejoined: int = 0  # streams that were cut or left, and asked for again
    unread: list[str] = field(default_factory=list)  # what may be read, and was answered otherwise than with it

    async def settle(self, call: Call) -> bool:
        """Sends a call until it is known, without a key once; whether it is, and its answer can be read."""
        for _ in range(MOST_TRIES):
            reply = await self._once(call)
            call.replies.append(reply)
            if not is_open(reply):
                return (refusal_of(reply) or (0, ""))[1] != NO_JSON
            if call.key is None:
                return False
            self.sender.retries += 1
            self.rejoined += frames_of(reply) is not None
            await asyncio.sleep(self.sender.rng.uniform(*PAUSES))
        return False

    async def read(self, path: str) -> Reply:
        """A GET, until it is answered; the last try's answer is told whatever it is."""
        for _ in range(MOST_TRIES):
            reply = await self.sender.exchange("GET", self.sender.address(path), None, self.sender.headers())
            if not is_open(reply):
                break
            await asyncio.sleep(self.sender.rng.uniform(*PAUSES))
        if reply.status is not None and not (reply.acknowledged or (is_open(reply) and reply.retry_after)):
            self.unread.append(f"GET {path}: {reply.status} {reply.body}")
        return reply

    async def _once(self, call: Call) -> Reply:
        url, headers = self.sender.address(call.path), self.sender.headers(call.key)
        if call.streamed:
            return await self._stream(url, call, headers)
        within = PATIENCE if call.act in OF_RUNS else TIMEOUT
        return await self.sender.exchange("POST", url, call.body, headers, within)

    async def _stream(self, url: str, call: Call, headers: dict[str, str]) -> Reply:
        """What came of a stream before it ended, was cut, or was left; the time of its first event is the answer's. One
        that ends properly without its last event is none that can be read.
        """
        rng, sent, told, first = self.sender.rng, time.monotonic(), list[Frame](), None
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        left = rng.randint(1, 12) if call.key is not None and rng.random() < LEAVES else None
        try:
            async with self.sender.session.post(url, json=call.body, headers=headers, timeout=timeout) as response:
                if response.content_type != "text/event-stream":
                    return reply_of(sent, response, read(await response.read()))
                async for frame in frames(response.content):
                    first = first or reply_of(sent, response, {"frames": told})
                    told.append(frame)
                    if len(told) == left and frame[1] != DONE:
                        break
                else:
                    first = first or reply_of(sent, response, {"frames": told})
                    if not told or told[-1][0] not in (*_OVER, UNREADABLE):
                        told.append((UNREADABLE, "it ended without its last event"))
        except (aiohttp.ClientError, TimeoutError):
            pass  # cut: what came is kept
        return first or Reply(sent, time.monotonic(), None)
