"""What a run logs as running text: the deltas of one message behind each other, everything else with a line of its own.

Pure: a page, what comes live behind it, and a terminal are told by the same words. Refused here: markup, and hiding
what a terminal would obey.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared import words
from shared.effects import EventLogged
from shared.history import DELTAS
from shared.ids import EventId
from shared.inspect.timeline import Logged

_OWN = frozenset({"user.message"})  # shown elsewhere on the page
_ABOUT_ITSELF = frozenset({"run.started", "run.completed"})  # their text is the run's id


class _Said(NamedTuple):
    at: datetime
    type: str
    text: str | None
    tool_name: str | None
    tool_input: str | None
    message: EventId | None


@dataclass(slots=True)
class Transcript:
    """`type` and `message` are of what was told last: a delta of the same message goes on in its line."""

    type: str | None = None
    message: EventId | None = None

    def page(self, entries: list[Logged]) -> str:
        """The beginning, of what was read."""
        return "".join(self._tell(_Said(e.at, e.type, e.text, e.tool_name, e.tool_input, e.message)) for e in entries)

    def event(self, event: EventLogged) -> str:
        """One more event."""
        given = None if event.tool_input is None else words.document(event.tool_input)
        return self._tell(_Said(event.occurred_at, event.type, event.content, event.tool_name, given, event.message))

    def _tell(self, said: _Said) -> str:
        if said.type in _OWN:
            return ""
        text = "" if said.type in _ABOUT_ITSELF else said.text or ""
        if said.type in DELTAS and (said.type, said.message) == (self.type, self.message):
            return text
        begun = self.type is not None
        self.type, self.message = said.type, said.message
        named = [words.clock(said.at), said.type.removesuffix(".delta"), said.tool_name or "", said.tool_input or ""]
        head = f"── {' '.join(part for part in named if part)}\n"
        return ("\n" if begun else "") + head + text
