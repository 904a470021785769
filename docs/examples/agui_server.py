"""An example AG-UI server, without a model: it answers in pieces, and asks before it sends anything.

    python docs/examples/agui_server.py --port 9000

Then `docs/examples/agui.yaml` is the configuration of an agent that speaks with it. A text with the word `send` makes
it ask for a permission; anything else is said again. With EXAMPLE_AGUI_TOKEN set, callers must bring that token.
"""

import argparse
import hmac
import os
from collections.abc import AsyncIterator

from ag_ui.core import (
    PROTOCOL_VERSION,
    BaseEvent,
    Interrupt,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunStartedEvent,
    StateSnapshotEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
    UserMessage,
)
from ag_ui.encoder import EventEncoder
from aiohttp import web
from pydantic import ValidationError

APPROVAL = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}


async def answer(asked: RunAgentInput) -> AsyncIterator[BaseEvent]:
    """One run: what was asked decides what it is."""
    yield RunStartedEvent(thread_id=asked.thread_id, run_id=asked.run_id, protocol_version=PROTOCOL_VERSION)
    if asked.resume:
        events = resumed(asked)
    elif "send" in text_of(asked):
        events = asking(asked)
    else:
        events = saying(asked, text_of(asked))
    async for event in events:
        yield event


async def saying(asked: RunAgentInput, text: str) -> AsyncIterator[BaseEvent]:
    message = f"{asked.run_id}-answer"
    yield TextMessageStartEvent(message_id=message, role="assistant")
    for word in text.split():
        yield TextMessageContentEvent(message_id=message, delta=f"{word} ")
    yield TextMessageEndEvent(message_id=message)
    yield RunFinishedEvent(thread_id=asked.thread_id, run_id=asked.run_id)


async def asking(asked: RunAgentInput) -> AsyncIterator[BaseEvent]:
    """Proposes a tool call and ends the run with an interrupt: the next one brings the answer."""
    call = f"{asked.run_id}-call"
    yield ToolCallStartEvent(tool_call_id=call, tool_call_name="send_letter")
    yield ToolCallArgsEvent(tool_call_id=call, delta='{"to": "the editor"}')
    yield ToolCallEndEvent(tool_call_id=call)
    yield StateSnapshotEvent(snapshot={"call": call})
    interrupt = Interrupt(
        id="send", reason="tool_call", message="Send the letter?", tool_call_id=call, response_schema=APPROVAL
    )
    outcome = RunFinishedInterruptOutcome(interrupts=[interrupt])
    yield RunFinishedEvent(thread_id=asked.thread_id, run_id=asked.run_id, outcome=outcome)


async def resumed(asked: RunAgentInput) -> AsyncIterator[BaseEvent]:
    """Keeps nothing itself: which call was meant stands in the state that comes back."""
    call = asked.state.get("call") if isinstance(asked.state, dict) else None
    entry = next((entry for entry in asked.resume or () if entry.interrupt_id == "send"), None)
    if call is None or entry is None:
        yield RunErrorEvent(message="There is nothing that waits for this.", code="unknown_interrupt")
        return
    sent = entry.status == "resolved" and isinstance(entry.payload, dict) and entry.payload.get("approved") is True
    result = "The letter is sent." if sent else "The letter was not sent."
    yield ToolCallResultEvent(message_id=f"{call}-result", tool_call_id=call, content=result)
    async for event in saying(asked, result):
        yield event


def text_of(asked: RunAgentInput) -> str:
    """What the user said last."""
    said = [message.content for message in asked.messages if isinstance(message, UserMessage)]
    return said[-1] if said and isinstance(said[-1], str) else ""


async def run(request: web.Request) -> web.StreamResponse:
    token = os.environ.get("EXAMPLE_AGUI_TOKEN", "")
    if token and not hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode()):
        raise web.HTTPUnauthorized
    try:
        asked = RunAgentInput.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPBadRequest(text=str(error.error_count())) from error
    encoder = EventEncoder()
    response = web.StreamResponse(headers={"Content-Type": encoder.get_content_type()})
    await response.prepare(request)
    async for event in answer(asked):
        await response.write(encoder.encode(event).encode())
    return response


def application() -> web.Application:
    app = web.Application()
    app.router.add_post("/", run)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An example AG-UI server.")
    parser.add_argument("--port", type=int, default=9000)
    web.run_app(application(), host="127.0.0.1", port=parser.parse_args().port)
