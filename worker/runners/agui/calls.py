"""Tool calls of the stream: started once their arguments are whole, completed with their result.

A call may be answered after a wait, in another stream than it was made in: `pending` goes into the checkpoint.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ag_ui.core import (
    ToolCallArgsEvent,
    ToolCallChunkEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from pydantic import BaseModel, ConfigDict

from worker.runners.agui import failures
from worker.runners.agui.events import strict
from worker.runners.agui.transcript import Transcript
from worker.runners.outputs import Output, ToolCompleted, ToolStarted

OPEN = 1_000  # calls without a result at once: more is a mistake
ARGUMENTS = 1 << 20  # characters of the arguments that are not whole yet
NAME = 255  # characters of an id or a name
_UNANSWERED = "The endpoint left this call to a frontend, and there is none."


class Pending(BaseModel):
    """A call that was started and not answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    input: dict[str, Any]


@dataclass(slots=True)
class _Call:
    name: str
    message: str
    pieces: list[str] = field(default_factory=list)


class Calls:
    def __init__(self, transcript: Transcript, pending: Mapping[str, Pending]) -> None:
        self.pending = dict(pending)
        self._transcript = transcript
        self._open: dict[str, _Call] = {}
        self._size = 0
        self._chunked: str | None = None

    def start(self, event: ToolCallStartEvent) -> Iterator[Output]:
        self._begin(event.tool_call_id, event.tool_call_name, event.parent_message_id)
        yield from ()

    def args(self, event: ToolCallArgsEvent) -> Iterator[Output]:
        self._add(event.tool_call_id, event.delta)
        yield from ()

    def end(self, event: ToolCallEndEvent) -> Iterator[Output]:
        yield from self._started(event.tool_call_id)

    def chunk(self, event: ToolCallChunkEvent) -> Iterator[Output]:
        """One without an id goes on with the call before it."""
        call = event.tool_call_id or self._chunked
        if call is None:
            raise failures.protocol("The endpoint sent a TOOL_CALL_CHUNK of no call.")
        if call != self._chunked:
            yield from self.pause()
            self._begin(call, event.tool_call_name or "", event.parent_message_id)
            self._chunked = call
        self._add(call, event.delta or "")

    def result(self, event: ToolCallResultEvent) -> Iterator[Output]:
        call = event.tool_call_id
        yield from self._started(call)
        if self.pending.pop(call, None) is None:
            _check("toolCallId", call)
            yield ToolStarted(call, "unknown")  # made where we could not see it
        text = _text(event)
        self._transcript.answer(event.message_id, call, text)
        yield ToolCompleted(call, text)

    def pause(self) -> Iterator[Output]:
        """Something else follows: that ends a call of chunks."""
        if self._chunked is not None:
            call, self._chunked = self._chunked, None
            yield from self._started(call)

    def flush(self) -> Iterator[Output]:
        """The run ends: calls that had no end have one now."""
        for call in list(self._open):
            yield from self._started(call)

    def finish(self, unanswered: Collection[str]) -> Iterator[Output]:
        """The run is over, and no result comes any more: not told, or left to a frontend."""
        for call in self.pending:
            left = call in unanswered
            yield ToolCompleted(call, _UNANSWERED if left else None, error=left)
        self.pending = {}

    def _begin(self, call: str, name: str, message: str | None) -> None:
        _check("toolCallId", call)
        _check("toolCallName", name)
        if len(self._open) + len(self.pending) >= OPEN:
            raise failures.protocol(f"The endpoint has more than {OPEN} tool calls open at once.")
        self._open[call] = _Call(name, message or call)

    def _add(self, call: str, piece: str) -> None:
        if call not in self._open or not piece:
            return
        self._open[call].pieces.append(piece)
        self._size += len(piece)
        if self._size > ARGUMENTS:
            raise failures.protocol("The endpoint's tool calls have arguments over the limit of 1 MiB.")

    def _started(self, call: str) -> Iterator[Output]:
        """Nothing where it is started already: some make a call again when they go on after a wait."""
        made = self._open.pop(call, None)
        arguments = "".join(made.pieces) if made is not None else ""
        self._size -= len(arguments)
        if made is None or call in self.pending:
            return
        self.pending[call] = Pending(name=made.name, input=_input(arguments))
        self._transcript.call(made.message, call, made.name, arguments)
        yield ToolStarted(call, made.name, self.pending[call].input)


def _input(arguments: str) -> dict[str, Any]:
    """As an object; a model may write what is none, and that is shown as it is."""
    if not arguments.strip():
        return {}
    try:
        value = strict(arguments)
    except ValueError:
        return {"arguments": arguments}
    return value if isinstance(value, dict) else {"arguments": value}


def _text(event: ToolCallResultEvent) -> str:
    if isinstance(event.content, str):
        return event.content
    return "\n".join(part.text if part.type == "text" else f"[{part.type}]" for part in event.content)


def _check(field_: str, value: str) -> None:
    if not 1 <= len(value) <= NAME:
        raise failures.protocol(f"The endpoint sent a {field_} that is not 1 to {NAME} characters long.")
