"""Calls of a chat-completions endpoint, with the official client, over connections that were checked.

The endpoint gets what the agent's configuration says and nothing of the worker's environment: the client would add
an organization, a project and headers from there. What it sends back is bounded.
Source: OpenAI's API reference, "Create chat completion" and its streaming events.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import APIConnectionError, AsyncOpenAI, AsyncStream
from pydantic import SecretStr

from shared import __version__
from worker import outbound
from worker.runners.failing import RunnerError
from worker.runners.openai_body import written
from worker.runners.openai_config import OpenAIConfig
from worker.runners.openai_errors import FOREIGN, TooMuch, closed, invalid, translate
from worker.runners.openai_stream import Chunk, Turn
from worker.runners.outputs import Output

ANSWER = 16 * 1024 * 1024  # bytes of one stream: a token takes about 200 on the wire
EVENT = 1024 * 1024  # bytes of one event: it is parsed in one go, while the loop waits
REFUSAL = 64 * 1024  # bytes of an error's body that are read
_CONNECT = 10.0  # seconds at most until there is a connection; `timeout` may be minutes, for a model that thinks
_BURST = 50  # chunks, about 1 ms, after which others of the loop have their turn, however much has come in

_SENT = {"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    client: AsyncOpenAI
    config: OpenAIConfig
    key: SecretStr | None

    async def stream(self, messages: Sequence[dict[str, Any]], turn: Turn) -> AsyncGenerator[Output]:
        """One turn of the model: what is shown at once is yielded, the whole is in `turn` then. Raises RunnerError."""
        async with await self._ask(messages) as stream:
            if "text/event-stream" not in stream.response.headers.get("content-type", ""):
                raise invalid("its content type is another one.")
            seen = 0
            while (chunk := await self._next(stream, turn)) is not None:
                for output in turn.take(chunk):
                    yield output
                seen += 1
                if seen % _BURST == 0:
                    await asyncio.sleep(0)
        if turn.finish is None:
            raise closed()

    async def _ask(self, messages: Sequence[dict[str, Any]]) -> AsyncStream[object]:
        """As `chat.completions.create`, but for the chunks, which come as plain JSON: the client's own objects take
        several times as long to make as all the rest, and their fields are not checked.
        """
        spoken = [{"role": "system", "content": self.config.system}] if self.config.system else []
        body = await written(_request(self.config), [*spoken, *messages])
        try:
            return await self.client.post(
                "/chat/completions",
                content=body,
                cast_to=object,
                stream=True,
                stream_cls=AsyncStream[object],
            )
        except FOREIGN as error:
            raise self._failure(error, streaming=False) from None

    async def _next(self, stream: AsyncStream[object], turn: Turn) -> Chunk | None:
        """None at the end. A turn that is whole may have an untidy one: what is missing then is at most its usage."""
        try:
            chunk = await anext(stream, None)
            return None if chunk is None else Chunk.model_validate(chunk)
        except FOREIGN as error:
            if turn.finish is not None and isinstance(error, APIConnectionError):
                return None
            raise self._failure(error, streaming=True) from None

    def _failure(self, error: Exception, *, streaming: bool) -> RunnerError:
        """To be raised `from None`: the client's errors hold the request, and with it the key."""
        return translate(error, secret=self.key.get_secret_value() if self.key else None, streaming=streaming)


@asynccontextmanager
async def connect(config: OpenAIConfig, key: SecretStr | None, *, private: bool) -> AsyncIterator[Endpoint]:
    """An endpoint whose connections end with the block."""
    timeout = httpx2.Timeout(config.timeout, connect=min(config.timeout, _CONNECT))
    async with outbound.client(private=private, timeout=timeout) as http:
        http.event_hooks = {"request": [_plain(key)], "response": [_bound]}
        client = AsyncOpenAI(
            api_key="unused",  # what is sent is put in by `_plain`; without one the client looks in the environment
            base_url=config.base_url,
            timeout=timeout,
            # Only of requests that have no answer yet: nothing was shown. What fails after that fails the run.
            max_retries=config.retries,
            http_client=http,
        )
        yield Endpoint(client, config, key)


def _request(config: OpenAIConfig) -> dict[str, Any]:
    """All but the messages; what is not configured is not said."""
    tools = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in config.tools
    ]
    said = {"temperature": config.temperature, "max_tokens": config.max_tokens, "tools": tools or None}
    return {
        **config.parameters,
        **{name: value for name, value in said.items() if value is not None},
        "model": config.model,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _plain(key: SecretStr | None) -> Callable[[httpx2.Request], Awaitable[None]]:
    """Sends the headers that the protocol needs, the key, and who we are."""

    async def strip(request: httpx2.Request) -> None:
        for name in {name.lower() for name in request.headers} - _SENT:
            del request.headers[name]
        request.headers["user-agent"] = f"threadmill/{__version__}"
        request.headers["accept-encoding"] = "identity"  # a compressed answer has no bound that could be seen
        if key is not None:
            request.headers["authorization"] = f"Bearer {key.get_secret_value()}"

    return strip


async def _bound(response: httpx2.Response) -> None:
    """An answer beyond its bound fails; of an error so much is read, its status says the most."""
    compressed = response.headers.pop("content-encoding", "identity") != "identity"
    if compressed and not response.is_error:
        raise TooMuch("a compressed answer", request=response.request)
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, response.request, error=response.is_error)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request, *, error: bool) -> None:
        self._stream = stream
        self._request = request
        self._error = error
        self._left = REFUSAL if error else ANSWER
        self._tail = b""
        self._length = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._left -= len(piece)
            if self._error and self._left < 0:
                return
            if self._left < 0 or self._measure(piece) > EVENT:
                raise TooMuch("an answer without end", request=self._request)
            yield piece

    def _measure(self, piece: bytes) -> int:
        """Bytes of the event that is under way; an empty line may come in two pieces."""
        seen = self._tail + piece
        end = max(seen.rfind(empty) for empty in (b"\n\n", b"\r\r", b"\r\n\r\n"))
        self._length = self._length + len(piece) if end < 0 else len(seen) - end
        self._tail = seen[-3:]
        return self._length

    async def aclose(self) -> None:
        await self._stream.aclose()
