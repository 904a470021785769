"""JSON as clients may spell it, and what of it Postgres and every reader can hold."""

import json
import math
from typing import Any

from hypothesis import strategies as st

_ANY_CHARACTER = st.characters(exclude_categories=[])  # lone surrogates and NUL, too
_LIKELY = st.sampled_from(
    ["a", " ", "\n", "é", "\U0001f600", "\u202e", "\\", '"', "'", "\x7f", "\ufeff", "\ufffe", "{", "%"]
)
TEXTS = st.text(_LIKELY | st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ODD_TEXTS = (
    TEXTS
    | TEXTS
    | st.text(_LIKELY | _ANY_CHARACTER, max_size=10)
    | st.sampled_from(["\0", "a\0b", "\ud800", "\udfff\ud800"])
)


@st.composite
def spelt(draw: st.DrawFn, value: Any, *, wrong: bool = True) -> bytes:
    """The bytes of a value: escaped or raw, with space or without; with `wrong` one byte is, sometimes."""
    escaped, spaced = draw(st.booleans()), draw(st.booleans())
    text = json.dumps(value, ensure_ascii=escaped, separators=None if spaced else (",", ":"), indent=draw(_INDENT))
    data = text.encode("utf-8", "surrogatepass")
    if wrong and data and draw(st.integers(0, 7)) == 0:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw(st.binary(max_size=2)) + data[place + 1 :]
    return data


_INDENT = st.sampled_from([None, None, 1])


def storable(value: Any) -> bool:
    """Whether all that it holds can be kept and told again: its texts, its numbers."""
    match value:
        case str():
            return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
        case bool() | None:
            return True
        case int():
            return abs(value) <= 2**53
        case float():
            return math.isfinite(value)
        case list():
            return all(map(storable, value))
        case _:
            return all(storable(key) and storable(one) for key, one in value.items())
