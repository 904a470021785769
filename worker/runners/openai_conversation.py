"""The conversation with the model, as the endpoint takes it, and as a checkpoint keeps it.

A user's message names its files by their ids (`files`), which is all that a checkpoint keeps of them; `openai_files.py`
says what the endpoint gets. The calls that wait are those of its last turn without an answer: a run that goes on after
a wait or a crash knows from the messages alone where it was. The system prompt is the agent's and is no part of it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.runners.context import Message
from worker.runners.failing import RunnerError
from worker.runners.openai_stream import Call, Turn
from worker.runners.openai_text import clean

_STATE = 1_048_576  # bytes of a checkpoint: the runner contract's bound
_HISTORY = 512 * 1024  # bytes of history that go along, newest first: leaves a checkpoint room
_NAME = re.compile(r"[^A-Za-z0-9_-]")  # no letter of a tool's name: endpoints refuse a conversation with such a one
_ID = 200  # characters of a call's id: a permission's id holds at most 255


class _State(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    rounds: int = Field(ge=0)
    messages: list[dict[str, Any]]


@dataclass(slots=True)
class Conversation:
    messages: list[dict[str, Any]]
    rounds: int = 0  # turns so far that asked for tools

    @classmethod
    def begin(cls, history: Sequence[Message], new: Sequence[Message]) -> "Conversation":
        """Of the history as much as has room; messages with nothing in them are left out, endpoints refuse them."""
        kept: list[Message] = []
        room = _HISTORY
        for message in reversed(history):
            room -= len(message.text.encode())
            if room < 0:
                break
            kept.append(message)
        return cls([_told(message) for message in (*reversed(kept), *new) if message.text or message.files])

    @classmethod
    def load(cls, state: Any) -> "Conversation":
        """Raises RunnerError for what this runner has not written."""
        try:
            read = _State.model_validate(state)
        except ValidationError as error:
            raise RunnerError("The checkpoint is of another runner.", code="runner.state_unreadable") from error
        return cls(read.messages, read.rounds)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: a copy, the conversation goes on. Raises RunnerError where it has no room."""
        state = {"version": 1, "rounds": self.rounds, "messages": list(self.messages)}
        if len(json.dumps(state, ensure_ascii=False).encode()) > _STATE:
            raise RunnerError(
                "The conversation has grown beyond 1 MiB: less `history`, or shorter answers of tools, keep it below.",
                code="runner.conversation_too_long",
            )
        return state

    def add_user(self, message: Message) -> None:
        self.messages.append(_told(message))

    def add(self, turn: Turn) -> None:
        """The model's turn; each call gets an id that no other one of the run has."""
        text = "".join(turn.text) or None
        if turn.calls:
            self.rounds += 1
            self._name(turn.calls)
            self.messages.append({"role": "assistant", "content": text, "tool_calls": [*map(_sent, turn.calls)]})
        elif text:
            self.messages.append({"role": "assistant", "content": text})

    def waiting(self) -> list[Call]:
        """The calls of the last turn that have no answer yet, in their order."""
        calls, answers = self._last_calls()
        answered = {answer["tool_call_id"] for answer in answers}
        return [call for call in calls if call.id not in answered]

    def answer(self, call: Call, text: str) -> None:
        """Answers stand in the order of their calls: models without ids tell them apart by it."""
        calls, answers = self._last_calls()
        order = [call.id for call in calls]
        answers.append({"role": "tool", "tool_call_id": call.id, "content": text})
        answers.sort(key=lambda answer: order.index(answer["tool_call_id"]))
        self.messages[len(self.messages) - len(answers) + 1 :] = answers

    def forget_arguments(self, call: Call) -> None:
        """Of a call whose arguments can't be read: endpoints that read them anew would refuse the conversation."""
        place = next(at for at in reversed(range(len(self.messages))) if self.messages[at].get("tool_calls"))
        calls, _ = self._last_calls()
        kept = [Call(each.id, each.name, "{}") if each.id == call.id else each for each in calls]
        self.messages[place] = {**self.messages[place], "tool_calls": [*map(_sent, kept)]}

    def _last_calls(self) -> tuple[list[Call], list[dict[str, Any]]]:
        """The calls of the turn at the end, and the answers behind it."""
        answers: list[dict[str, Any]] = []
        for message in reversed(self.messages):
            if message["role"] != "tool":
                return [
                    Call(sent["id"], sent["function"]["name"], sent["function"]["arguments"])
                    for sent in message.get("tool_calls", ())
                ], answers[::-1]
            answers.append(message)
        return [], []

    def _name(self, calls: Sequence[Call]) -> None:
        """Keys and permissions hang on ids; small servers leave them out, or say `call_0` in every turn."""
        taken = {sent["id"] for message in self.messages for sent in message.get("tool_calls", ())}
        for index, call in enumerate(calls):
            call.id = clean(call.id)
            if not call.id.strip() or len(call.id) > _ID:
                call.id = f"call_{self.rounds}_{index}"
            while call.id in taken:
                call.id += "_"
            taken.add(call.id)
            call.name = _NAME.sub("_", call.name)[:64] or "unnamed"
            call.arguments = clean(call.arguments).strip() or "{}"


def _told(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.text}
    return told | {"files": list(message.files)} if message.files else told


def _sent(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
