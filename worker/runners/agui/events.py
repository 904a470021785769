"""The bytes of an event, read: strict JSON of bounded depth, then the protocol's own models.

Source: ag_ui.core, protocol 1.0; the `THINKING_*` events are those of earlier producers.
"""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from ag_ui.core import Event, EventType
from pydantic import TypeAdapter, ValidationError

from worker.runners.agui import failures
from worker.runners.registry import explain

DEPTH = 64  # levels of arrays and objects, as in a request's body

_DEEP = f"is nested deeper than {DEPTH} levels"
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_KNOWN = {str(kind.value) for kind in EventType}
_UNUSED = ("timestamp", "rawEvent")  # nothing here reads them, so their form may not fail a run
_FORMER = {
    "THINKING_START": EventType.REASONING_START,
    "THINKING_END": EventType.REASONING_END,
    "THINKING_TEXT_MESSAGE_START": EventType.REASONING_MESSAGE_START,
    "THINKING_TEXT_MESSAGE_CONTENT": EventType.REASONING_MESSAGE_CONTENT,
    "THINKING_TEXT_MESSAGE_END": EventType.REASONING_MESSAGE_END,
}


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event of a type that protocol 1.0 does not have."""

    type: str


def parse(data: str) -> Event | Unknown:
    """Raises RunnerError `runner.protocol`."""
    try:
        value = strict(data)
    except ValueError as error:
        raise failures.protocol(f"The endpoint sent an event that {error}.") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise failures.protocol("The endpoint sent an event that is no object with a `type`.")
    if value["type"] in _FORMER:
        value = {"messageId": "thinking", **value, "type": _FORMER[value["type"]].value}
    if value["type"] not in _KNOWN:
        return Unknown(value["type"])
    for name in _UNUSED:
        value.pop(name, None)
    try:
        return _EVENT.validate_python(value)
    except ValidationError as error:
        raise failures.protocol(f"The endpoint sent a wrong event: {explain(error)[:300]}.") from None


def strict(text: str) -> Any:
    """The value of JSON that any reader and any database takes. Raises ValueError, which says what is wrong."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(_DEEP) from None
    except ValueError:
        raise ValueError("is no JSON") from None
    if text.count("[") + text.count("{") > DEPTH and _deeper(value, DEPTH):
        raise ValueError(_DEEP)
    return _storable(value) if "\\u0000" in text or "\\ud" in text.lower() else value


def _deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_deeper(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_deeper(item, levels - 1) for item in value)
    return False


def _storable(value: Any) -> Any:
    """Half a character (a delta may end in its middle) and NUL are in JSON, but in no database's text."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list():
            return [_storable(item) for item in value]
        case _:
            return value


def _real(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number that no double holds")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_float=_real, parse_constant=_refuse)
