"""An agent's configuration as a viewer may see it: its keys and their shape, and the values of the fields that are
known to hold no secret. Pure.

Refused here: guessing by names what is a secret. What the runners of ours do not know (a function's own settings,
headers, what is handed on to an endpoint) is masked whole, whatever it is called.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from shared import masks

MASK = "••••••"
NUMBER = f"{MASK} (a number)"

_Show = Callable[[Any], Any]

# A variable's name has words and few digits; what is pasted in its place has not.
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LONGEST_WORD = 16
_MOST_DIGITS = 4
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


def masked(runner: str, config: Mapping[str, Any]) -> Any:
    """The same document, with what may be seen of it; all is masked where the runner is none of ours."""
    return _fields(SHOWN.get(runner, {}))(config)


def hidden(value: Any) -> Any:
    """Keys, structure, null and what is true or false; no text and no number."""
    match value:
        case dict():
            return {masks.masked(key): _named(key, hidden)(one) for key, one in value.items()}
        case list():
            return [hidden(one) for one in value]
        case None | bool():
            return value
        case int() | float():
            return NUMBER
        case _:
            return MASK


def endpoint(value: Any) -> Any:
    """An address with its path, without whoever logs in there and without its parameters and fragment."""
    return _address(value, masks.masked) if isinstance(value, str) else hidden(value)


def receiver(url: str) -> str:
    """The address of a webhook: its path is often the secret itself."""
    return _address(url, lambda path: path if path in {"", "/"} else f"/{MASK}")


def _address(text: str, path: Callable[[str], str]) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        return MASK
    login, _, host = parts.netloc.rpartition("@")
    if not parts.scheme or not _HOST.fullmatch(host):
        return MASK
    shown = f"{parts.scheme}://{f'{MASK}@' if login else ''}{host}{path(parts.path)}"
    return shown + (f"?{MASK}" if parts.query else "") + (f"#{MASK}" if parts.fragment else "")


def _text(value: Any) -> Any:
    return masks.masked(value) if isinstance(value, str) else hidden(value)


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else hidden(value)


def _variable(value: Any) -> Any:
    """Where a secret is found is none."""
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        return hidden(value)
    digits = sum(letter.isdigit() for letter in value)
    words = max(map(len, value.split("_")))
    return MASK if digits > _MOST_DIGITS or words > _LONGEST_WORD else masks.masked(value)


def _fields(known: Mapping[str, _Show]) -> _Show:
    """A mapping whose known fields are shown, each in its way."""

    def show(value: Any) -> Any:
        if not isinstance(value, dict):
            return hidden(value)
        return {masks.masked(key): known.get(key, _named(key, hidden))(one) for key, one in value.items()}

    return show


def _named(key: str, otherwise: _Show) -> _Show:
    return _variable if key.endswith("_env") else otherwise


def _each(show: _Show) -> _Show:
    """A list of what is shown so."""
    return lambda value: [show(one) for one in value] if isinstance(value, list) else hidden(value)


def _schema(value: Any) -> Any:
    """A JSON schema: names, types and descriptions; no default, no example, no value of an enumeration."""
    return _fields(_SCHEMA)(value)


def _properties(value: Any) -> Any:
    return {key: _schema(one) for key, one in value.items()} if isinstance(value, dict) else hidden(value)


_SCHEMA: Mapping[str, _Show] = {
    "type": _text,
    "title": _text,
    "description": _text,
    "format": _text,
    "required": _each(_text),
    "properties": _properties,
    "items": _schema,
}
_TOOL: Mapping[str, _Show] = {
    "name": _text,
    "description": _text,
    "parameters": _schema,
    "function": _text,
    "expires_in": _number,
    "timeout": _number,
}
_PARAMETERS: Mapping[str, _Show] = {
    "max_completion_tokens": _number,
    "top_p": _number,
    "frequency_penalty": _number,
    "presence_penalty": _number,
    "seed": _number,
    "reasoning_effort": _text,
}
# The fields of the models in worker/runners that are not masked; the others are `hidden`.
SHOWN: Mapping[str, Mapping[str, _Show]] = {
    "python": {"function": _text, "isolation": _text},
    "openai": {
        "base_url": endpoint,
        "model": _text,
        "system": _text,
        "api_key_env": _variable,
        "temperature": _number,
        "max_tokens": _number,
        "parameters": _fields(_PARAMETERS),
        "history": _number,
        "timeout": _number,
        "retries": _number,
        "tools": _each(_fields(_TOOL)),
        "max_turns": _number,
    },
    "agui": {
        "url": endpoint,
        "token_env": _variable,
        "history": _number,
        "timeout": _number,
        "context": _each(_fields({"description": _text})),
    },
}
