"""A server that speaks AG-UI from scripts, on this machine, and what drives the runner against it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ag_ui import core
from ag_ui.core import BaseEvent, Interrupt, RunAgentInput, RunFinishedEvent, RunFinishedInterruptOutcome
from ag_ui.core import RunStartedEvent as Started
from ag_ui.encoder import EventEncoder
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.watch import until
from worker.runners import Checkpoint, Context, Output, RunnerError, registry
from worker.runners.registry import Surroundings

Answer = Callable[[web.Request, RunAgentInput], Awaitable[web.StreamResponse]]
TOKEN = "ag-ui/token.0123456789"
STARTED = b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"RUN"}\n\n'
SAID = b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"m","delta":"Hi"}\n\n'
FINISHED = b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"RUN"}\n\n'


@dataclass
class Upstream:
    """Each POST gets the next of `answers`; `asked` and `headers` are what came."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[RunAgentInput] = field(default_factory=list)
    raw: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    end: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.raw.append(await request.json())
        self.asked.append(RunAgentInput.model_validate(self.raw[-1]))
        self.headers.append(request.headers)
        self.requests.append(request)
        return await self.answers.pop(0)(request, self.asked[-1])

    def says(self, *events: BaseEvent, finish: bool = True) -> None:
        """The next answer: a run of these events, which ends well unless they end it, or `finish` is false."""

        async def answer(request: web.Request, asked: RunAgentInput) -> web.StreamResponse:
            response = await begin(request)
            for event in (Started(thread_id=asked.thread_id, run_id=asked.run_id), *events):
                await response.write(EventEncoder().encode(event).encode())
            if finish:
                await response.write(EventEncoder().encode(finished(asked)).encode())
            return response

        self.answers.append(answer)

    def asks(self, *interrupts: Interrupt, before: tuple[BaseEvent, ...] = ()) -> None:
        """The next answer: a run that ends with these interrupts."""
        outcome = RunFinishedInterruptOutcome(interrupts=list(interrupts))
        self.says(*before, RunFinishedEvent(thread_id="any", run_id="any", outcome=outcome), finish=False)

    def sends(self, *chunks: bytes, hold: bool = False, **headers: Any) -> None:
        """The next answer: these bytes, and then the end of the connection, or nothing until the test is over."""

        async def answer(request: web.Request, _: RunAgentInput) -> web.StreamResponse:
            response = await begin(request, **headers)
            for chunk in chunks:
                await response.write(chunk)
            if hold:
                await self.end.wait()
            return response

        self.answers.append(answer)

    async def gone(self) -> None:
        """Waits until the runner has closed the last connection."""

        async def closed() -> bool:
            transport = self.requests[-1].transport
            return transport is None or transport.is_closing()

        await until(closed)


async def begin(request: web.Request, status: int = 200, **headers: str) -> web.StreamResponse:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    response = web.StreamResponse(status=status, headers={"Content-Type": "text/event-stream"} | given)
    await response.prepare(request)
    return response


def finished(asked: RunAgentInput) -> RunFinishedEvent:
    return RunFinishedEvent(thread_id=asked.thread_id, run_id=asked.run_id)


def text(message: str, *deltas: str, role: Any = None) -> list[BaseEvent]:
    return [
        core.TextMessageStartEvent(message_id=message, role=role),
        *(core.TextMessageContentEvent(message_id=message, delta=delta) for delta in deltas),
        core.TextMessageEndEvent(message_id=message),
    ]


def call(id_: str, name: str, *pieces: str) -> list[BaseEvent]:
    """Of a tool, its arguments in these pieces."""
    return [
        core.ToolCallStartEvent(tool_call_id=id_, tool_call_name=name),
        *(core.ToolCallArgsEvent(tool_call_id=id_, delta=piece) for piece in pieces),
        core.ToolCallEndEvent(tool_call_id=id_),
    ]


@asynccontextmanager
async def serving() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/", upstream.take)
    async with TestServer(app, host="127.0.0.1") as server:
        upstream.url = str(server.make_url("/"))
        yield upstream
        upstream.end.set()


def run(upstream: Upstream, ctx: Context, **config: Any) -> AsyncIterator[Output]:
    """The runner's outputs, with a token in its environment that `token_env` may name."""
    surroundings = Surroundings(private_endpoints=True, environment={"TOKEN": TOKEN})
    return registry.open_runner("agui", {"url": upstream.url, **config}, surroundings)(ctx)


async def outputs(upstream: Upstream, ctx: Context, **config: Any) -> list[Output]:
    return [output async for output in run(upstream, ctx, **config)]


def without_checkpoint(found: list[Output]) -> list[Output]:
    assert isinstance(found[-1], Checkpoint)
    return found[:-1]


async def failure(upstream: Upstream, ctx: Context, **config: Any) -> RunnerError:
    """How a run fails; a test fails where it does not."""
    return (await to_its_failure(upstream, ctx, **config))[1]


async def to_its_failure(upstream: Upstream, ctx: Context, **config: Any) -> tuple[list[Output], RunnerError]:
    """What a run tells before it fails, and how it does."""
    found: list[Output] = []
    try:
        async for output in run(upstream, ctx, **config):
            found.append(output)  # noqa: PERF401 - a comprehension would lose what came before the failure
    except RunnerError as error:
        return found, error
    raise AssertionError("the run ended well")
