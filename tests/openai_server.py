"""A server that speaks the streaming chat-completions protocol on this machine, and its ways of failing.

Each request is answered by the next of `answers`; with none left by a model of few words, which `python -m
tests.openai_server` serves, too: it uses a tool whose name stands in the user's text, and says what came of it.
"""

import argparse
import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

Answer = Callable[["OpenAIServer", web.Request], Awaitable[web.StreamResponse]]


class OpenAIServer:
    def __init__(self) -> None:
        self.url = ""
        self.answers: deque[Answer] = deque()
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.begun = asyncio.Event()  # an answer is under way
        self.gone = asyncio.Event()  # a client left before its answer was whole

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.json())
        answer = self.answers.popleft() if self.answers else reply(self.bodies[-1])
        return await answer(self, request)

    def last_messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.bodies[-1]["messages"]
        return messages


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[OpenAIServer]:
    server = OpenAIServer()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/v1/chat/completions", server.complete)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield server
    finally:
        await runner.cleanup()


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def call_piece(index: int | None, ident: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*wanted: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Chunks of tool calls `(id, name, arguments)`: the name first, then the arguments in two pieces."""
    chunks = []
    for index, (ident, name, arguments) in enumerate(wanted):
        half = len(arguments) // 2
        pieces = [call_piece(index, ident, name, ""), call_piece(index, None, None, arguments[:half])]
        pieces.append(call_piece(index, None, None, arguments[half:]))
        chunks += [chunk({"tool_calls": [piece]}) for piece in pieces]
    return chunks


def texts(*pieces: str) -> list[dict[str, Any]]:
    return [chunk({"content": piece}) for piece in pieces]


def says(*pieces: str, finish: str = "stop", usage: tuple[int, int] | None = None) -> Answer:
    return streams(*texts(*pieces), finish=finish, usage=usage)


def wants(*wanted: tuple[str, str, str], text: tuple[str, ...] = (), finish: str = "tool_calls") -> Answer:
    return streams(*texts(*text), *calls(*wanted), finish=finish)


def streams(*chunks: Any, finish: str | None = "stop", usage: tuple[int, int] | None = None) -> Answer:
    """A whole answer; `finish` None: without its last chunk."""

    async def answer(server: OpenAIServer, request: web.Request) -> web.StreamResponse:
        response = await _begin(server, request)
        for each in (*chunks, *([chunk({}, finish)] if finish else [])):
            await response.write(_event(each))
        if usage is not None:
            counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
            await response.write(_event({**chunk({}), "choices": [], "usage": counts}))
        await response.write(b"data: [DONE]\n\n")
        return response

    return answer


def sends(data: bytes, content_type: str = "text/event-stream", headers: Mapping[str, str] | None = None) -> Answer:
    """These bytes and no other."""

    async def answer(server: OpenAIServer, request: web.Request) -> web.StreamResponse:
        response = await _begin(server, request, content_type, headers)
        await response.write(data)
        return response

    return answer


def sends_pieces(*pieces: str) -> Answer:
    """Texts, each written for itself."""

    async def answer(server: OpenAIServer, request: web.Request) -> web.StreamResponse:
        response = await _begin(server, request)
        for piece in pieces:
            await response.write(piece.encode())
        return response

    return answer


def floods(piece: bytes) -> Answer:
    """The same bytes without end."""

    async def answer(server: OpenAIServer, request: web.Request) -> web.StreamResponse:
        response = await _begin(server, request)
        while True:
            await response.write(piece)

    return answer


def fails(status: int, body: Any, content_type: str = "application/json", **headers: str) -> Answer:
    async def answer(server: OpenAIServer, request: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, content_type=content_type, headers=named)

    return answer


def breaks_off(*chunks: dict[str, Any]) -> Answer:
    """The connection is cut in the middle of an answer."""

    async def answer(server: OpenAIServer, request: web.Request) -> web.StreamResponse:
        response = await _begin(server, request)
        for each in chunks:
            await response.write(_event(each))
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


def falls_silent(*chunks: dict[str, Any]) -> Answer:
    """Says so much and no more, and keeps the connection until its client leaves."""

    async def answer(server: OpenAIServer, request: web.Request) -> web.StreamResponse:
        response = await _begin(server, request)
        for each in chunks:
            await response.write(_event(each))
        server.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            server.gone.set()
        return response

    return answer


def reply(body: dict[str, Any]) -> Answer:
    """The model of few words."""
    last = body["messages"][-1]
    text = _text(last["content"] or "")
    if last["role"] == "tool":
        return says("The tool says: ", text, usage=(7, 5))
    tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools", ())}
    for name, schema in tools.items():
        if name in text:
            return wants(("call_0", name, json.dumps(_guess(schema, text))))
    return says("You said: ", text, usage=(3, 4))


def _text(content: Any) -> str:
    """Its texts; of an image that there is one."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] if part["type"] == "text" else "[an image]" for part in content)


def _guess(schema: dict[str, Any], text: str) -> dict[str, Any]:
    """Numbers of the text, in their order, as the arguments."""
    numbers = iter(re.findall(r"\d+(?:\.\d+)?", text))
    kinds = {"number": float, "integer": int}
    properties = schema.get("properties", {})
    return {name: kinds.get(wanted.get("type"), str)(next(numbers, "0")) for name, wanted in properties.items()}


async def _begin(
    server: OpenAIServer,
    request: web.Request,
    content_type: str = "text/event-stream",
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": content_type, **(headers or {})})
    await response.prepare(request)
    server.begun.set()
    return response


def _event(value: Any) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


async def _serve(port: int) -> None:
    async with serving(port) as server:
        print(f"A model of few words listens on {server.url} (Ctrl-C ends it)", flush=True)  # noqa: T201 - the program's output
        await asyncio.Event().wait()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=9000)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.parse_args().port))
