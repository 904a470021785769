"""What can be kept of an author's texts and JSON values: Postgres has no U+0000 and no halves of characters, and
readers of JSON give up where it is too deep.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

DEPTH = 64  # levels of arrays and objects: as many as a request's JSON may have, and fewer than readers give up at
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(u0000|.)")


def is_storable(text: str) -> bool:
    return not _UNSTORABLE.search(text)


def mended(text: str) -> str:
    """The text, with U+FFFD for what can't be kept."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def mended_json(text: str) -> Any:
    """The value of a JSON text, mended in its strings."""
    return json.loads(_ESCAPE.sub(_without_nul, mended(text)))


def too_deep(value: object) -> bool:
    """Whether a JSON value has more levels than `DEPTH`."""
    level = [value]
    for _ in range(DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return any(isinstance(one, dict | list) for one in level)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _without_nul(escape: re.Match[str]) -> str:
    return REPLACEMENT if escape[1] == "u0000" else escape[0]
