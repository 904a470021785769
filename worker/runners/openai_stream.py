"""One turn of the model, put together from the chunks that stream in.

What a foreign endpoint sends is checked here. Local servers differ in spelling, so that nothing is wanted that is not
used: no ids, no `object`; any further key is passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from worker.runners.openai_errors import invalid
from worker.runners.openai_text import clean
from worker.runners.outputs import TOKENS_LIMIT, Output, TextDelta, ThinkingDelta, Usage

CALLS = 100  # tool calls in one turn: beyond it a model is lost


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Function(_Sent):
    name: str | None = None
    arguments: str | None = None


class _CallPiece(_Sent):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(_Sent):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: Any = None  # not of the protocol: text where it is sent by DeepSeek, vLLM and others
    reasoning: Any = None  # the same elsewhere
    tool_calls: list[_CallPiece] | None = None


class _Choice(_Sent):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Counts(_Sent):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(_Sent):
    choices: list[_Choice] | None = None
    usage: _Counts | None = None


@dataclass(slots=True)
class Call:
    """A tool that the model wants used; `arguments` as it wrote them."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Turn:
    text: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None  # None: the stream is not at its end
    usage: Usage | None = None
    _open: dict[int, Call] = field(default_factory=dict)

    def take(self, chunk: Chunk) -> Iterator[Output]:
        """What of a chunk is shown at once; the rest is kept."""
        if chunk.usage is not None:
            self.usage = Usage(_tokens(chunk.usage.prompt_tokens), _tokens(chunk.usage.completion_tokens))
        for choice in chunk.choices or ():
            if choice.index:
                continue  # one answer was asked for
            self.finish = choice.finish_reason or self.finish
            if choice.delta is not None:
                yield from self._take_delta(choice.delta)

    def _take_delta(self, delta: _Delta) -> Iterator[Output]:
        for thought in (delta.reasoning_content, delta.reasoning):
            if isinstance(thought, str) and thought:
                yield ThinkingDelta(clean(thought))
                break  # some send the same under both names
        for text in (delta.content, delta.refusal):
            if text:
                self.text.append(clean(text))
                yield TextDelta(self.text[-1])
        for piece in delta.tool_calls or ():
            self._take_call(piece)

    def _take_call(self, piece: _CallPiece) -> None:
        """By index; some endpoints give every call the index 0, and another id."""
        index = piece.index if piece.index is not None else len(self.calls) - (0 if piece.id else 1)
        call = self._open.get(index)
        if call is None or (piece.id and call.id and piece.id != call.id):
            call = self._open[index] = Call()
            self.calls.append(call)
            if len(self.calls) > CALLS:
                raise invalid(f"more than {CALLS} tool calls")
        call.id = call.id or piece.id or ""
        if piece.function is not None:
            call.name = call.name or piece.function.name or ""
            call.arguments += piece.function.arguments or ""


def _tokens(count: int | None) -> int:
    return min(max(count or 0, 0), TOKENS_LIMIT)
