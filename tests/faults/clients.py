"""Clients that send batches over HTTP, sent again with their keys until they know, and keep what they saw."""

import asyncio
import random
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from pydantic_core import from_json

from tests.faults.history import NO_JSON, Document, Reply, Request

TIMEOUT = 8.0  # seconds for one answer; a stopped api gives none
MOST_TRIES = 60
PAUSES = (0.05, 0.3)  # seconds between tries
TURNS = 4  # of tries, until the outcome is known of what is accepted already
MOST_PENDING = 2_000  # that are asked for again, of those that were answered as accepted: they take some seconds
LEARNING = 60.0  # seconds to ask for all of them
ANSWERED = {"acceptedAt", "events", "thread", "warnings"}  # what the answer to a batch has


@dataclass(slots=True)
class Sender:
    """Sends requests to any of the apis, one after the other until one answers."""

    session: aiohttp.ClientSession
    urls: list[str]
    token: str
    rng: random.Random
    retries: int = 0

    async def settle(self, request: Request, *, prefer: str | None = None) -> None:
        """Sends a request until it is known to be accepted or refused; without a key, once."""
        for n in range(MOST_TRIES):
            reply = await self.send(request, prefer=prefer)
            if request.key is None or reply.status not in (None, 409, 503):
                return
            self.retries += n < MOST_TRIES - 1
            await asyncio.sleep(self.rng.uniform(*PAUSES))

    async def learn(self, request: Request) -> Document | None:
        """Sends a request until its outcome is known; None where it is not even now."""
        for _ in range(TURNS):
            await self.settle(request)
            if request.outcomes:
                return request.outcomes[0]
        return None

    async def send(self, request: Request, *, prefer: str | None = None) -> Reply:
        """Once, to an api chosen by chance; the answer joins the request's history."""
        path = f"/api/v1/threads/{request.thread}/events"
        headers = self.headers(request.key) | ({} if prefer is None else {"Prefer": prefer})
        reply = await self.exchange("POST", self.address(path), {"events": list(request.events)}, headers)
        if reply.acknowledged and not (isinstance(reply.body, dict) and reply.body.keys() >= ANSWERED):
            reply = replace(reply, body=unreadable(repr(reply.body)))
        request.replies.append(reply)
        return reply

    def address(self, path: str) -> str:
        """Of a path at an api chosen by chance."""
        return self.rng.choice(self.urls) + path

    def headers(self, key: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} | ({} if key is None else {"Idempotency-Key": key})

    async def create_thread(self, agent: str) -> str:
        """An empty thread's id; the apis must be well."""
        url = f"{self.urls[0]}/api/v1/agents/{agent}/threads"
        reply = await self.exchange("POST", url, {}, self.headers() | {"Prefer": "respond-async"})
        assert reply.status == 201, reply
        return str(reply.body["thread"]["id"])

    async def exchange(
        self, method: str, url: str, body: Document | None, headers: dict[str, str], within: float = TIMEOUT
    ) -> Reply:
        """One request and what came of it, once it is whole; of an answer that was cut off in its middle nothing."""
        sent, timeout = time.monotonic(), aiohttp.ClientTimeout(total=within)
        try:
            async with self.session.request(method, url, json=body, headers=headers, timeout=timeout) as response:
                return reply_of(sent, response, read(await response.read()))
        except (aiohttp.ClientError, TimeoutError):
            return Reply(sent, time.monotonic(), None)


def read(data: bytes) -> Any:
    """JSON; where it is none, an error that says so."""
    try:
        return from_json(data)
    except ValueError:
        return unreadable(repr(data[:200]))


def unreadable(what: str) -> Document:
    """What stands for an answer that can't be read, or lacks what must be in it."""
    return {"error": {"code": NO_JSON, "message": what}}


def reply_of(sent: float, response: aiohttp.ClientResponse, document: Any) -> Reply:
    """What came now, of a request that was sent then."""
    known = response.headers
    replayed = known.get("Idempotency-Replayed") == "true"
    again, thread = known.get("Retry-After"), known.get("X-Threadmill-Thread-Id")
    return Reply(sent, time.monotonic(), response.status, document, replayed, again, thread)


@dataclass(slots=True)
class Load:
    """A stream of batches over some threads, from `clients` at once, until `batches` or the deadline is reached."""

    sender: Sender
    threads: list[str]
    seed: int
    batches: int
    clients: int = 32
    pace: float = 400.0  # batches a second, all clients together, so that faults get their time
    seconds: float | None = None
    prefer_async: float = 0.4  # share of those that do not wait for the outcome
    keyed: float = 0.9
    repeated: float = 0.1
    history: list[Request] = field(default_factory=list)
    repeats: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """So far. `unknown`: nobody knows whether they were accepted."""
        return {
            "sent": len(self.history),
            "acknowledged": sum(request.acknowledged for request in self.history),
            "unknown": sum(not request.acknowledged and not request.refused for request in self.history),
            "repeats": self.repeats,
            "retries": self.sender.retries,
        }

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            numbers = iter(range(self.batches))
            began = time.monotonic()
            for n in range(self.clients):
                group.create_task(self._client(chance(self.seed, n), numbers, began))

    async def _client(self, rng: random.Random, numbers: Iterable[int], began: float) -> None:
        for number in numbers:
            await asyncio.sleep(max(0.0, began + number / self.pace - time.monotonic()))
            if self.seconds is not None and time.monotonic() - began > self.seconds:
                return
            request = self.request(rng, number)
            self.history.append(request)
            await self.sender.settle(request, prefer="respond-async" if rng.random() < self.prefer_async else None)
            if request.key is not None and rng.random() < self.repeated:
                self.repeats += 1
                await self._repeat(request, rng)

    async def _repeat(self, request: Request, rng: random.Random) -> None:
        """The same again on purpose: once, or twice at the same time."""
        again = [self.sender.settle(request) for _ in range(rng.choice((1, 1, 2)))]
        await asyncio.gather(*again)

    def request(self, rng: random.Random, number: int) -> Request:
        marker = f"m{self.seed}-{number}"
        events = tuple(_events(rng, marker))
        has_marker = any(event["type"] != "user_interrupt" for event in events)
        keyed = not has_marker or rng.random() < self.keyed
        return Request(rng.choice(self.threads), marker, events, f"key {marker}" if keyed else None)


async def ask_again(
    sender: Sender, history: Iterable[Request], clients: int = 32, most: int = MOST_PENDING
) -> list[Request]:
    """Sends what has a key and no outcome once more, now that all is quiet: all that may not even be stored, and `most`
    of what was accepted, chosen by chance. Returns what must be known now, for the checker to judge.
    """
    unknown = [one for one in history if one.key is not None and not one.outcomes and not one.refused]
    unheard, pending = [[one for one in unknown if one.acknowledged is known] for known in (False, True)]
    chosen, asked = sender.rng.sample(pending, min(most, len(pending))), list[Request]()
    left = iter([*unheard, *chosen])
    late = time.monotonic() + LEARNING / 2  # none begins then: each has as long to be known

    async def client() -> None:
        while time.monotonic() < late and (request := next(left, None)) is not None:
            asked.append(request)
            await sender.learn(request)

    with suppress(TimeoutError):
        async with asyncio.timeout(LEARNING), asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
    return [*asked, *unheard[len(asked) :]]


def chance(*seed: int) -> random.Random:
    """The same numbers for the same seed."""
    return random.Random(repr(seed))  # noqa: S311 - what is drawn here is no secret


def _events(rng: random.Random, marker: str) -> list[dict[str, Any]]:
    """Mostly one message; some interrupts, decisions, and batches of several events."""
    message, interrupt = {"type": "user_message", "text": f"say {marker}"}, {"type": "user_interrupt"}
    second = {"type": "user_message", "text": f"say more {marker}"}
    decision = {"type": "permission_decision", "requestId": f"of {marker}", "decision": "allow_once"}
    choices = ([message], [interrupt], [decision], [interrupt, message], [message, second], [message, interrupt])
    return rng.choices(choices, (50, 20, 10, 8, 6, 6))[0]
