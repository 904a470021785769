"""Requests of Mosoo v1 as the service's own events, and what their retries are recognised by.

`document` is what the model took, in the first generation's names, ids in upper case: two requests that mean the same
have the same digest, whatever their key order, white space or generation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from api.dialects.mosoo import models
from api.submission import Attachment
from shared import ids
from shared.errors import InvalidRequest
from shared.events import Event, PermissionDecision, UserInterrupt, UserMessage
from shared.ids import FileId, RunId, Ulid

Document = dict[str, Any]

_EXTRA = "is not a known key"
_PHRASES = {
    "missing": "is required",
    "extra_forbidden": _EXTRA,
    "union_tag_not_found": "needs a `type`",
    "union_tag_invalid": "has an unknown `type`",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
}


@dataclass(frozen=True, slots=True)
class Creation:
    """A thread to be made, with the message it begins with, if any."""

    document: Document
    events: tuple[Event, ...]
    client_external_ref: str | None
    attributed_user: Ulid | None
    user_id: str | None
    files: tuple[Attachment, ...] = ()  # its first message's, or the thread's alone


@dataclass(frozen=True, slots=True)
class Batch:
    document: Document
    events: tuple[Event, ...]
    files: tuple[Attachment, ...] = ()  # of all its messages


def creation(body: Any) -> Creation:
    """Raises InvalidRequest, which names the field."""
    document = _one_name(_taken(models.CREATE_THREAD, body), "files", "resources", "")
    attached = _Attached()
    if "files" in document:
        document["files"] = attached.add(item["file_id"] for item in document["files"])
    text = _joined(document["input"]) if "input" in document else None
    attributed = document.get("attributed_user_id")
    if attributed is not None:
        document["attributed_user_id"] = attributed = attributed.upper()
    return Creation(
        document=document,
        events=() if text is None else (UserMessage(RunId(ids.mint()), text, files=attached.known()),),
        client_external_ref=document.get("client_external_ref"),
        attributed_user=attributed,
        user_id=document.get("userId"),
        files=tuple(attached.files),
    )


def batch(body: Any) -> Batch:
    """Raises InvalidRequest, which names the event and the field."""
    document, attached = _taken(models.SEND_EVENTS, body), _Attached()
    events = tuple(_event(item, index, attached) for index, item in enumerate(document["events"]))
    return Batch(document, events, tuple(attached.files))


def edit(body: Any) -> str:
    """The text that a run's message gets. Raises InvalidRequest, which names the field."""
    text: str = _taken(models.EDIT_RUN, body)["text"]
    return text


def _event(item: Document, index: int, attached: "_Attached") -> Event:
    """Reads one event, and puts it in its one form in place."""
    _drop_nulls(item)
    match item["type"]:
        case "user_message":
            return _user_message(item, f"events.{index}.", attached)
        case "permission_decision" | "permission-decision":
            item["type"] = PermissionDecision.type
            return PermissionDecision(item["requestId"], item["decision"] == "allow_once", item.get("note"))
        case _:
            item["type"] = UserInterrupt.type
            if "runId" in item:
                item["runId"] = item["runId"].upper()
            return UserInterrupt(item.get("runId"))


def _user_message(item: Document, place: str, attached: "_Attached") -> UserMessage:
    own: tuple[FileId, ...] = ()
    if len(item) > 2:  # most have a type and a text
        _one_name(item, "clientRequestId", "requestId", place)
        if "resources" in item:
            item["resources"] = [resource["file_id"] for resource in item["resources"]]
        _one_name(item, "attachmentIds", "resources", place)
        if "attachmentIds" in item:
            before = len(attached.files)
            item["attachmentIds"] = attached.add(item["attachmentIds"])
            own = attached.known(before)
    return UserMessage(RunId(ids.mint()), item["text"], item.get("clientRequestId"), item.get("on_busy"), own)


def _one_name(item: Document, first: str, second: str, place: str) -> Document:
    """Renames the second generation's key to the first's; both at once are refused."""
    _drop_nulls(item)
    if second in item:
        if first in item:
            raise InvalidRequest(f"{place}{first} and {place}{second} are two names of one thing: send one of them.")
        item[first] = item.pop(second)
    if item.get(first) == []:  # no files are no files
        del item[first]
    return item


def _drop_nulls(item: Document) -> None:
    if None in item.values():
        for key in [key for key, value in item.items() if value is None]:
            del item[key]


def _joined(given: Mapping[str, Any]) -> str:
    text = "\n".join(part["text"] for part in given["content"])
    if not 1 <= len(text) <= models.INPUT_LIMIT:
        raise InvalidRequest(f"input.content: the joined text must be 1 to {models.INPUT_LIMIT} characters.")
    return text


class _Attached:
    """The files that a request attaches, each once."""

    def __init__(self) -> None:
        self.files: list[Attachment] = []
        self._seen: set[str] = set()

    def add(self, names: Iterable[str]) -> list[str]:
        """The names as one form has them. Raises InvalidRequest where one is named again, or there are too many."""
        forms = []
        for name in names:
            file = Attachment(name, ids.parse_file(name))
            form = file.id or name
            if form in self._seen:
                raise InvalidRequest(f"Attachment {name} is named twice.")
            if len(self.files) == models.FILES_LIMIT:
                raise InvalidRequest(f"A request may attach {models.FILES_LIMIT} files at most.")
            self._seen.add(form)
            self.files.append(file)
            forms.append(form)
        return forms

    def known(self, since: int = 0) -> tuple[FileId, ...]:
        """Their ids, from a place on. With one that has none the batch is refused, once the others are looked up."""
        return tuple(file.id for file in self.files[since:] if file.id is not None)


def _taken(model: TypeAdapter[Any], body: Any) -> Document:
    """What the model takes of a body: a copy. Raises InvalidRequest with the first thing that is wrong."""
    try:
        document: Document = model.validate_python(body)
    except ValidationError as error:
        raise InvalidRequest(_message(error)) from None
    return document


def _message(error: ValidationError) -> str:
    """`events.0.text must not be blank.`"""
    first = error.errors(include_url=False, include_input=False)[0]
    names = [str(part) for n, part in enumerate(first["loc"]) if not _is_tag(first["loc"], n)]
    text = _PHRASES.get(first["type"]) or first["msg"]
    if text[0].isupper():
        text = f"is not valid: {text}"
    return f"{'.'.join(names)[:300] or 'The body'} {text}."


def _is_tag(place: tuple[int | str, ...], n: int) -> bool:
    """Whether a part of a place is the type of an event, which pydantic puts behind its index."""
    return n == 2 and place[0] == "events" and isinstance(place[1], int)
