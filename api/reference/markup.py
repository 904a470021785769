"""HTML as values: what is text is escaped, what is `Html` already is not."""

import re
from html import escape


class Html(str):
    """Markup."""

    __slots__ = ()


_VOID = frozenset({"link", "meta"})
_CODE = re.compile(r"`([^`]+)`|\*(\w[^*]*)\*")


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """An element. Attributes are named with `_` for `-`; one underscore at the end does not count (`class_`)."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    return Html("".join(child if isinstance(child, Html) else escape(child, quote=False) for child in children))


def prose(text: str) -> Html:
    """A sentence in which `code` stands between backticks, and what is stressed between asterisks."""
    parts: list[str] = []
    end = 0
    for found in _CODE.finditer(text):
        parts += [text[end : found.start()], tag("code", found[1]) if found[1] else tag("em", found[2])]
        end = found.end()
    return join(*parts, text[end:])
