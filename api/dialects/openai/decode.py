"""Requests of the AIML / OpenAI dialect as the service's own events. What is wrong is refused by its place in the body,
which the answer names as `param`.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api.body import decode
from api.dialects.openai import models
from shared import ids
from shared.errors import InvalidRequest, NotFound
from shared.events import MessageAdded, PermissionDecision
from shared.ids import AgentId, MessageId, RequestId

_PHRASES = {
    "missing": "is required",
    "dict_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_short": "must not be empty",
}
_OURS = frozenset({"metadata", "content", "attachments"})  # types of errors that say what is wrong in words of ours
_WORDS = {"allow": True, "deny": False}
_SHOWN = 100  # characters of a place or of a client's text in a message


@dataclass(frozen=True, slots=True)
class Opening:
    """A thread to be made."""

    messages: tuple[MessageAdded, ...]
    metadata: dict[str, str]

    @property
    def document(self) -> dict[str, Any]:
        """What is asked for, in its one form: by this a repetition is known."""
        return {"messages": [said(message) for message in self.messages], "metadata": self.metadata}


@dataclass(frozen=True, slots=True)
class Request:
    """A run that is asked for."""

    agent: AgentId
    messages: tuple[MessageAdded, ...]
    metadata: dict[str, str] | None
    stream: bool

    @property
    def document(self) -> dict[str, Any]:
        """As that of an `Opening`."""
        messages = [said(message) for message in self.messages]
        return {"agent": self.agent, "messages": messages, "metadata": self.metadata or {}, "stream": self.stream}


@dataclass(frozen=True, slots=True)
class Outputs:
    """What was decided of permission requests, whose ids are those of the calls, in the order sent."""

    decisions: dict[RequestId, bool]
    stream: bool

    @property
    def document(self) -> dict[str, Any]:
        """As that of an `Opening`."""
        return {"decisions": self.decisions, "stream": self.stream}

    def events(self, known: Container[RequestId]) -> tuple[PermissionDecision, ...]:
        """Raises InvalidRequest where one of them names no call that waits for its output."""
        for n, call in enumerate(self.decisions):
            if call not in known:
                raise _no_call(n)
        return tuple(PermissionDecision(call, allow) for call, allow in self.decisions.items())


def message(body: Any) -> MessageAdded:
    """Raises InvalidRequest."""
    return _added(_taken(models.MESSAGE, body))


def said(event: MessageAdded) -> dict[str, Any]:
    """What is asked for: all but the id, which is another one at each repetition."""
    return {"role": event.role, "content": event.parts, "metadata": event.metadata}


def opening(body: Any) -> Opening:
    """Raises InvalidRequest."""
    return _opening(_taken(models.NEW_THREAD, body))


def metadata(body: Any) -> dict[str, str | None]:
    """What is to be set, and null for what is to be removed: an empty text removes, too. Raises InvalidRequest."""
    return {key: value or None for key, value in (_taken(models.EDIT, body).get("metadata") or {}).items()}


def request(body: Any) -> Request:
    """Raises InvalidRequest; NotFound where `assistant_id` spells no id."""
    return _request(_taken(models.NEW_RUN, body))


def opening_and_request(body: Any) -> tuple[Opening, Request]:
    """Raises what `request` raises."""
    document = _taken(models.NEW_THREAD_AND_RUN, body)
    return _opening(document.get("thread") or {}), _request(document)


def outputs(body: Any) -> Outputs:
    """Raises InvalidRequest."""
    document = _taken(models.TOOL_OUTPUTS, body)
    decisions: dict[RequestId, bool] = {}
    for n, given in enumerate(document["tool_outputs"]):
        call = ids.parse(given["tool_call_id"])
        if call is None:
            raise _no_call(n)
        if call in decisions:
            raise InvalidRequest("A tool call has two outputs.", param=_place(n, "tool_call_id"))
        decisions[RequestId(call)] = _decision(given["output"], _place(n, "output"))
    return Outputs(decisions, bool(document.get("stream")))


def _place(n: int, name: str) -> str:
    return f"tool_outputs.{n}.{name}"


def _no_call(n: int) -> InvalidRequest:
    place = _place(n, "tool_call_id")
    return InvalidRequest(f"{place} names no call that waits for its output.", param=place)


def _decision(output: str, place: str) -> bool:
    word: Any = output.strip()
    if word[:1] in {"{", '"'}:
        try:
            word = decode(word.encode())
        except InvalidRequest as error:
            raise InvalidRequest(f"{place}: {error.message.replace('The body', 'Its text')}", param=place) from None
    if isinstance(word, dict):
        word = word.get("decision")
    if not isinstance(word, str) or word not in _WORDS:
        raise InvalidRequest(f'{place} must be {{"decision": "allow"}} or {{"decision": "deny"}}.', param=place)
    return _WORDS[word]


def _request(document: dict[str, Any]) -> Request:
    messages = tuple(_added(item) for item in document.get("additional_messages", ()))
    return Request(_agent(document["assistant_id"]), messages, _kept(document) or None, bool(document.get("stream")))


def _opening(document: dict[str, Any]) -> Opening:
    return Opening(tuple(_added(item) for item in document.get("messages", ())), _kept(document))


def _added(item: dict[str, Any]) -> MessageAdded:
    return MessageAdded(MessageId(ids.mint()), item["role"], item["content"], _kept(item))


def _kept(document: dict[str, Any]) -> dict[str, str]:
    """Metadata of something new: nulls count as absent."""
    return {key: value for key, value in (document.get("metadata") or {}).items() if value is not None}


def _agent(text: str) -> AgentId:
    agent = ids.parse(text)
    if agent is None:
        raise NotFound("There is no such assistant.")
    return AgentId(agent)


def _taken(model: TypeAdapter[Any], body: Any) -> dict[str, Any]:
    """What the model takes of a body. Raises InvalidRequest with the first thing that is wrong."""
    try:
        document: dict[str, Any] = model.validate_python(body)
    except ValidationError as error:
        raise _refusal(error) from None
    return document


def _refusal(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))[:_SHOWN]
    text = _PHRASES.get(first["type"]) or first["msg"]
    if first["type"] not in _OURS and first["type"] not in _PHRASES:
        text = f"is not valid: {text}"
    return InvalidRequest(f"{place or 'The body'} {text}.", param=place or None)
