"""How people are told things, in tables and on pages: ages, times, sizes, what a batch holds. Pure."""

import json
import re
from datetime import datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
# What changes how text is read and can't be seen: controls but for line ends and tabs, directions, widthless spaces,
# tags, and halves of characters, which can't even be sent.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SPAN = re.compile(r"([1-9][0-9]{0,9}) ?(d|h|min|s)")


def age(seconds: float | None) -> str:
    """Seconds as a person says them: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    return _long(int(seconds))


def took(seconds: float | None) -> str:
    """How long something took: as `age`, but in milliseconds where it was less than a second."""
    if seconds is None:
        return ""
    return f"{max(seconds, 0) * 1_000:.0f} ms" if seconds < 1 else age(seconds)


def size(count: float | None) -> str:
    """Bytes as a person says them: `5 B`, `1.5 MiB`; empty for None."""
    if count is None:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def span(text: str) -> float | None:
    """A span as a person types it, in seconds: `90d`, `12h`, `30min`, `45s`; None for anything else."""
    found = _SPAN.fullmatch(text.strip())
    return int(found[1]) * {unit: size for size, unit in (*_UNITS, (1, "s"))}[found[2]] if found else None


def _long(seconds: int) -> str:
    rest, parts = seconds, []
    for size, unit in (*_UNITS, (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def moment(value: datetime | None) -> str:
    """To the second, UTC."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


def clock(value: datetime) -> str:
    """To the millisecond, UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1_000:03}"


def short(text: str | None, width: int = 60) -> str:
    """The first line of a text, cut to `width` characters."""
    line = " ".join((text or "").split())
    return line if len(line) <= width else line[: width - 1] + "…"


def document(value: object) -> str:
    """A document on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def visible(text: str) -> str:
    """The text with what could not be seen spelled out: `⟨U+202E⟩`."""
    return _UNSEEN.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    return f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{ord(found[0]):04X}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"


def events(stored: object) -> str:
    """What a batch holds, in a few words: its types, with the beginning of the first text."""
    if not isinstance(stored, list) or not all(isinstance(event, dict) for event in stored):
        return "unreadable"
    kinds = [str(event["type"]) if event.get("type") else "without a type" for event in stored]
    names = ", ".join(_several(kinds.count(kind), kind) for kind in dict.fromkeys(kinds))
    text = next((str(event["text"]) for event in stored if event.get("text")), "")
    return f"{names}: {short(text, 30)}" if text else names


def _several(count: int, kind: str) -> str:
    return kind if count == 1 else f"{count} x {kind}"
