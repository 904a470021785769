"""What the endpoint said in this run, as messages of the protocol: it gets them back when the run goes on after a wait.

An endpoint that keeps no conversation of its own rebuilds it from them. Kept up to a limit; a MESSAGES_SNAPSHOT takes
the place of all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ag_ui.core import MessagesSnapshotEvent

LIMIT = 384 << 10  # characters: a checkpoint has 1 MiB, and half of it is the state's

Wire = dict[str, Any]  # a message as JSON


@dataclass(slots=True)
class _Said:
    id: str
    pieces: list[str] = field(default_factory=list)
    calls: list[Wire] = field(default_factory=list)
    answers: str | None = None  # a tool call: then it is a tool's message

    def wire(self) -> Wire:
        content = "".join(self.pieces)
        if self.answers is not None:
            return {"id": self.id, "role": "tool", "toolCallId": self.answers, "content": content}
        message: Wire = {"id": self.id, "role": "assistant"}
        if content:
            message["content"] = content
        return message | ({"toolCalls": self.calls} if self.calls else {})


class Transcript:
    def __init__(self, before: Sequence[Wire], *, whole: bool) -> None:
        self.whole = whole  # the conversation from its beginning, not this run's part of it
        self._before = list(before)
        self._said: dict[str, _Said] = {}
        self._size = _size(self._before)

    @property
    def overflowed(self) -> bool:
        return self._size > LIMIT

    def say(self, message: str, text: str) -> None:
        if self._fits(len(text)):
            self._message(message).pieces.append(text)

    def call(self, message: str, id_: str, name: str, arguments: str) -> None:
        if self._fits(len(name) + len(arguments)):
            function = {"name": name, "arguments": arguments}
            self._message(message).calls.append({"id": id_, "type": "function", "function": function})

    def answer(self, message: str, call: str, text: str) -> None:
        if self._fits(len(text)):
            self._said[f"tool {call}"] = _Said(message, [text], answers=call)

    def replace(self, event: MessagesSnapshotEvent) -> None:
        self._before = [message.model_dump(mode="json", by_alias=True) for message in event.messages]
        self.whole, self._said = True, {}
        self._size = _size(self._before)

    def messages(self) -> list[Wire]:
        return [*self._before, *(said.wire() for said in self._said.values())]

    def _message(self, id_: str) -> _Said:
        return self._said.setdefault(id_, _Said(id_))

    def _fits(self, more: int) -> bool:
        """Whether it is kept; once something was not, nothing is: `overflowed`."""
        if not self.overflowed:
            self._size += more + 64  # a message's own names and ids
        return not self.overflowed


def _size(messages: Sequence[Wire]) -> int:
    return sum(len(str(message)) for message in messages)
