"""Text that somebody else wrote, made fit to be kept and shown: no character that Postgres refuses, and bounded."""

import re
from typing import Any

# NUL and lone surrogates: JSON can spell them, Postgres can't store them.
_UNFIT = re.compile("[\x00\ud800-\udfff]")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")

QUOTED = 300  # characters of what an endpoint says that go into an error: enough for its reason
DEPTH = 64  # of nested arguments: what the service takes elsewhere


def clean(text: str) -> str:
    """The text with U+FFFD for each character that can't be stored."""
    return _UNFIT.sub("\ufffd", text)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters; the last of them says that something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quote(text: str, secret: str | None = None) -> str:
    """One bounded line of what an endpoint said, without the key that it may have repeated."""
    shown = text[: 10 * QUOTED]  # before the work, not after it
    if secret:
        shown = shown.replace(secret, "[key]")
    return cut(_BLANK.sub(" ", clean(shown)).strip(), QUOTED)


def clean_value(value: Any, depth: int = 0) -> Any:
    """A JSON value with its texts and keys cleaned. Raises ValueError where it is nested too deeply."""
    if depth > DEPTH:
        raise ValueError(f"nested deeper than {DEPTH}")
    match value:
        case str():
            return clean(value)
        case list():
            return [clean_value(item, depth + 1) for item in value]
        case dict():
            return {clean(key): clean_value(item, depth + 1) for key, item in value.items()}
    return value
