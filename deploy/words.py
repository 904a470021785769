"""How the command line says things, as the console does, and how it takes what is typed."""

from deploy.errors import SetupError
from shared.words import age, clock, events, moment, short, span, took

__all__ = ["age", "clock", "events", "moment", "seconds", "short", "took"]


def seconds(text: str) -> float:
    """A span as a person types it, in seconds: `90d`, `12h`, `30min`, `45s`. Raises SetupError."""
    found = span(text)
    if found is None:
        raise SetupError(f"{text!r} is no span of time: say 90d, 12h, 30min or 45s")
    return found
