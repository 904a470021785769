"""How people are told things, in tables and on pages: ages, times, what a batch holds. Pure."""

import re
from datetime import datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_SPAN = re.compile(r"([1-9][0-9]{0,9}) ?(d|h|min|s)")


def age(seconds: float | None) -> str:
    """Seconds as a person says them: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`; empty for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    return _long(int(seconds))


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


def short(text: str | None, width: int = 60) -> str:
    """The first line of a text, cut to `width` characters."""
    line = " ".join((text or "").split())
    return line if len(line) <= width else line[: width - 1] + "…"


def events(stored: object) -> str:
    """What a batch holds, in a few words: its types, with the beginning of the first text."""
    if not isinstance(stored, list) or not all(isinstance(event, dict) for event in stored):
        return "unreadable"
    kinds = [str(event.get("type")) for event in stored]
    names = ", ".join(_several(kinds.count(kind), kind) for kind in dict.fromkeys(kinds))
    text = next((str(event["text"]) for event in stored if event.get("text")), "")
    return f"{names}: {short(text, 30)}" if text else names


def _several(count: int, kind: str) -> str:
    return kind if count == 1 else f"{count} x {kind}"
