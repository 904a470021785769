"""Requests of Cortex as the service's own events, and what their retries are recognised by.

`document` is what the model took: unknown keys make no other request of it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api.body import decode
from api.dialects.cortex import models
from shared import ids
from shared.errors import InvalidRequest
from shared.events import MessageAdded, PermissionDecision, RunRequested, ThreadEdited
from shared.ids import AgentId, MessageId, RunId

Document = dict[str, Any]

_PHRASES = {
    "missing": "is required",
    "union_tag_not_found": "needs a `type`",
    "union_tag_invalid": "has an unknown `type`",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
}


@dataclass(frozen=True, slots=True)
class Creation:
    document: Document
    origin_application: str | None


@dataclass(frozen=True, slots=True)
class Update:
    document: Document
    event: ThreadEdited


@dataclass(frozen=True, slots=True)
class RunAsked:
    """A message to answer, or decisions on what a run waits for: one of the two is empty."""

    document: Document
    thread: int | None
    parent: int | None  # the message it goes on from, 0: from none; None: nothing was said of it
    texts: Sequence[str]
    decisions: Sequence[PermissionDecision]
    stream: bool

    def request(self, agent: AgentId | None, request_id: str, parent: int) -> RunRequested:
        parts = [{"type": "text", "text": text} for text in self.texts]
        message = MessageAdded(MessageId(ids.mint()), "user", parts, request_id=request_id)
        return RunRequested(RunId(ids.mint()), agent, (message,), parent)


def creation(body: Any) -> Creation:
    """Raises InvalidRequest, which names the field."""
    document = _taken(models.CREATE_THREAD, body)
    return Creation(document, document.get("origin_application") or None)


def update(body: Any) -> Update:
    """Raises InvalidRequest, which names the field."""
    document = _taken(models.UPDATE_THREAD, body)
    return Update(document, ThreadEdited(document.get("thread_name")))


def run(body: Any, thread: str | None = None) -> RunAsked:
    """`thread` stands in the query, where langchain-snowflake puts it; the body's own one is before it. Raises
    InvalidRequest, which names the field.
    """
    if thread and isinstance(body, dict):
        number = _taken(models.RUN_AGENT_QUERY, {"thread_id": thread})
        body = body | number if body.get("thread_id") is None else body
    document = _taken(models.RUN_AGENT, body)
    content = document["messages"][0]["content"]
    results = [part["tool_result"] for part in content if part["type"] == "tool_result"]
    if results and len(results) < len(content):
        raise InvalidRequest("messages.0.content: a tool_result stands without text.", param="messages")
    asked = RunAsked(
        document=document,
        thread=document.get("thread_id"),
        parent=document.get("parent_message_id"),
        texts=() if results else _texts(content),
        decisions=_decisions(results),
        stream=document.get("stream") is not False,
    )
    if asked.thread is None and (asked.decisions or asked.parent):
        raise InvalidRequest("thread_id is required with a tool_result or a parent_message_id.", param="thread_id")
    return asked


def _texts(content: Sequence[Document]) -> list[str]:
    texts = [part["text"] for part in content]
    joined = "\n".join(texts)
    if not joined or joined.isspace():
        raise InvalidRequest("messages.0.content must not be blank.", param="messages")
    if len(joined.encode()) > models.TEXT_LIMIT:
        raise InvalidRequest(f"messages.0.content is longer than {models.TEXT_LIMIT} bytes.", param="messages")
    return texts


def _decisions(results: Sequence[Document]) -> list[PermissionDecision]:
    """One of each request: of two on the same one only the first could have an effect."""
    decisions = [_decision(result, index) for index, result in enumerate(results)]
    named = Counter(decision.request.upper() for decision in decisions)
    if named and max(named.values()) > 1:
        raise InvalidRequest("messages.0.content: a tool_use_id stands in two tool_results.", param="messages")
    return decisions


def _decision(result: Document, index: int) -> PermissionDecision:
    """A word, or an object with one as `decision`, which may be JSON within a text."""
    part, place = result["content"][0], f"messages.0.content.{index}.tool_result.content"
    given = part["json"] if part["type"] == "json" else _said(part["text"], place)
    word, note = given.get("decision"), given.get("note")
    if not isinstance(word, str) or word not in models.WORDS:
        raise InvalidRequest(f'{place}: a `decision` is required, "allow" or "deny".', param="messages")
    if note is not None and not (isinstance(note, str) and len(note) <= models.NOTE_LIMIT):
        raise InvalidRequest(
            f"{place}: `note` must be a text of at most {models.NOTE_LIMIT} characters.", param="messages"
        )
    return PermissionDecision(result["tool_use_id"], models.WORDS[word], note)


def _said(text: str, place: str) -> Document:
    """JSON within a text is read as strictly as a body: what it holds is stored as well."""
    word = text.strip()
    if not word.startswith("{"):
        return {"decision": word}
    try:
        return dict(decode(word.encode()))
    except InvalidRequest as error:
        raise InvalidRequest(f"{place}: {error.message.replace('The body', 'Its text')}", param="messages") from None


def _taken(model: TypeAdapter[Any], body: Any) -> Document:
    """What the model takes of a body: a copy, without nulls. Raises InvalidRequest with the first thing wrong."""
    try:
        document: Document = model.validate_python(body)
    except ValidationError as error:
        raise _refusal(error) from None
    return {key: value for key, value in document.items() if value is not None}


def _refusal(error: ValidationError) -> InvalidRequest:
    """`messages.0.role is required.`"""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("int", "str"))[:300]
    text = _PHRASES.get(first["type"]) or first["msg"]
    if text[0].isupper():
        text = f"is not valid: {text}"
    return InvalidRequest(f"{place or 'The body'} {text}.", param=place or None)
