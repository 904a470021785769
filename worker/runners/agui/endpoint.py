"""One AG-UI endpoint: a call of it, and what it answers, event by event.

Bounded: how long it may be silent, how long an event may be. What this runner's token reads like never leaves here.
Refused here: knowing what an event means.
"""

import asyncio
import itertools
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

import httpx2

from shared import __version__
from worker import outbound
from worker.runners.agui import failures
from worker.runners.agui.config import AguiConfig
from worker.runners.failing import RunnerError
from worker.runners.registry import Surroundings

EVENT_LIMIT = 1 << 20  # bytes of one event: as much as a checkpoint, or a request's body
BREATH = 50  # events: one piece of the network may hold a thousand, and other runs wait for the same loop
CONNECT = 10.0  # seconds: a host that is there answers within one or two
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}")  # RFC 6750; what else it held would break the header
_TELLING = 8  # characters: a shorter token would be found in any text
_HIDDEN = "[hidden]"


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: str
    headers: Mapping[str, str]
    timeout: float
    private: bool
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, config: AguiConfig, surroundings: Surroundings) -> "Endpoint":
        """Raises RunnerError where the token is not there."""
        token = _token(config.token_env, surroundings.environment)
        return cls(config.url, config.headers, config.timeout, surroundings.private_endpoints, token)

    async def events(self, body: bytes) -> AsyncGenerator[str, None]:
        """The `data` of each event that comes back. Closing it, or cancelling, closes the connection. Raises
        RunnerError.
        """
        timeout = httpx2.Timeout(self.timeout, connect=min(CONNECT, self.timeout))
        try:
            async with (
                outbound.client(private=self.private, timeout=timeout) as client,
                aclosing(self._stream(client, body)) as stream,
            ):
                async for data in stream:
                    yield self._hide(data)
        except failures.CAUGHT as error:
            raise failures.of_exception(error) from None  # its own text, and its cause's, may repeat a header

    async def _stream(self, client: httpx2.AsyncClient, body: bytes) -> AsyncGenerator[str, None]:
        request = client.build_request("POST", self.url, content=body, headers=self._headers())
        async with asyncio.timeout(self.timeout):
            response = await client.send(request, stream=True)
        try:
            _check(response)
            response.encoding = "utf-8"  # SSE is, whatever the answer says of itself
            source = httpx2.EventSource(response, max_event_size=EVENT_LIMIT)
            # It is a generator, typed as less.
            async with aclosing(cast("AsyncGenerator[httpx2.ServerSentEvent, None]", aiter(source))) as events:
                for count in itertools.count(1):
                    event = await self._next(events)
                    if event is None:
                        return
                    if event.data:
                        yield event.data
                    if count % BREATH == 0:
                        await asyncio.sleep(0)
        finally:
            await response.aclose()

    async def _next(self, events: AsyncGenerator[httpx2.ServerSentEvent, None]) -> httpx2.ServerSentEvent | None:
        """Comments keep the connection alive, not the wait: what they are sent for may be stuck for ever."""
        async with asyncio.timeout(self.timeout):
            return await anext(events, None)

    def _headers(self) -> dict[str, str]:
        own = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",  # a compressed megabyte may be a thousand of them
            "Content-Type": "application/json",
            "User-Agent": f"threadmill/{__version__}",
        }
        if self.token is not None:
            own["Authorization"] = f"Bearer {self.token}"
        return own | dict(self.headers)

    def _hide(self, data: str) -> str:
        """An endpoint may repeat the token, in an error first of all; `/` is escaped by some who write JSON."""
        if self.token is None or len(self.token) < _TELLING:
            return data
        return data.replace(self.token, _HIDDEN).replace(self.token.replace("/", "\\/"), _HIDDEN)


def _token(name: str | None, environment: Mapping[str, str]) -> str | None:
    if name is None:
        return None
    token = environment.get(name, "").strip()
    if not token:
        raise RunnerError(
            f"token_env: there is no {name} in the environment of this worker.",
            code="runner.unavailable",
            retryable=True,
        )
    if not _TOKEN.fullmatch(token):
        raise RunnerError(f"token_env: what {name} holds is no bearer token.", code="runner.unavailable")
    return token


def _check(response: httpx2.Response) -> None:
    """Raises RunnerError for anything but a plain stream of events."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code != httpx2.codes.OK:
        raise failures.of_status(response.status_code)
    if kind != "text/event-stream":
        raise failures.protocol("The endpoint did not answer with `text/event-stream`.")
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise failures.protocol("The endpoint compressed its events, which it was asked not to do.")
