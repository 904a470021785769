"""How the command line says things, as the console does, and how it takes what is typed."""

from deploy.errors import SetupError
from shared.words import age, events, moment, short, span

__all__ = ["age", "events", "moment", "seconds", "short"]


def seconds(text: str) -> float:
    """A span as a person types it, in seconds: `90d`, `12h`, `30min`, `45s`. Raises SetupError."""
    found = span(text)
    if found is None:
        raise SetupError(f"{text!r} is no span of time: say 90d, 12h, 30min or 45s")
    return found
