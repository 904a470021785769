"""The last line of defence of logs: what has the shape of a secret is masked, wherever in a line it stands.

It is no excuse for logging one. Refused here: guessing; what has no shape (a password by itself, a user's text) is kept
out where the line is said.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

MASK = "***"
_DEEPEST = 4  # levels of lists and mappings that are looked through: no line of ours has more

# A prefix of six characters is what may be shown of a token (`shared.tokens`): more than that is the secret.
_SECRET = re.compile(
    r"(?P<token>\b(?:mst_|grt_pat_|grt_svc_|whsec_|sk-)[\w.~+/=-]{6})[\w.~+/=-]+"
    r"|(?P<named>(?<![a-z0-9])(?:cookie|authorization|[a-z0-9]*passw(?:or)?d|pwd|secret|(?:api|access|private)[_-]?key)"
    r"[\"']?\s*[:=]\s*[\"']?)"
    r"(?:(?:bearer|basic|snowflake)\s+)?[^\s\"',;&]+"
    r"|(?P<scheme>\b(?:bearer|basic)\s+|\btoken=\"?)[^\s\"',;&]{8,}"
    r"|(?P<user>://[^\s/:@]*:)[^\s/]+(?=@)"
    r"|(?P<alone>\b(?:rediss?(?:\+sentinel)?|https?)://)(?![^\s/@?]*:[^\s/?]*@)[^\s/?]+(?=@)"  # where a user belongs
    r"|(?P<quoted>\bwith args beginning with:\s*).+",  # a Redis without AUTH quotes what it was told
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"(?P<name>[?&][^\s=&?\"]+=)(?P<value>[^\s&\"]+)")


def masked(text: str) -> str:
    """The text without what looks like a token, a credential of a header, or the password of a URL."""
    return _SECRET.sub(_shown, _PARAMETER.sub(_parameter, text))


def _shown(found: re.Match[str]) -> str:
    return next(shown for shown in found.groups() if shown) + MASK


def _parameter(found: re.Match[str]) -> str:
    """Of a URL: all of a secret's value, however its name is escaped."""
    return found["name"] + MASK if _SECRET.search(f"{unquote(found['name'])}x") else found[0]


def masked_value(value: Any, depth: int = 0) -> Any:
    """The same of all that is in a value; what is no text, list or mapping is left as it is."""
    match value:
        case str():
            return masked(value)
        case bytes():
            return masked(value.decode(errors="replace"))
        case Mapping() if depth < _DEEPEST:
            return {key: masked_value(one, depth + 1) for key, one in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [masked_value(one, depth + 1) for one in value]
        case None | bool() | int() | float():
            return value
        case _:
            return masked(str(value))
