"""Replay: what a run logged since its last checkpoint, before its worker was lost, is not logged again.

A new attempt begins at the checkpoint and is likely to yield the same again. As long as it does, its outputs are
swallowed: the log has them. Where it says something else, what was logged stands as it is, the message it was in the
middle of is kept as incomplete, and a new one begins.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic_core import from_json, to_json

from shared.ids import EventId, MessageId
from shared.reports import Made, Spoken
from worker.execute.tape import FILE, TEXT, THINKING, Speech, shown
from worker.runners.outputs import (
    Checkpoint,
    Custom,
    MessageEnd,
    PermissionRequest,
    Plain,
    TextDelta,
    ThinkingDelta,
    ToolCompleted,
    ToolStarted,
)

RESTARTED = "runner.restarted"  # why a message is incomplete whose run said something else when it was tried again


class Logged(NamedTuple):
    """An event of the log: its type, its text, the tool call or the message it is of."""

    type: str
    content: str
    tool_call: str | None
    message: EventId | None


@dataclass(slots=True)
class Replay:
    """The tail of the log that a new attempt has not repeated yet, and the message it is in the middle of."""

    tail: deque[Logged] = field(default_factory=deque)
    speech: Speech | None = None
    ended: Collection[str] = ()  # messages that are over
    cut: Spoken | None = None  # the message that the log ends in the middle of, should this attempt say otherwise

    @classmethod
    def of(cls, logged: Iterable[Logged], speech: Speech | None, ended: Collection[str]) -> "Replay":
        """`speech`: the message at the checkpoint; it goes on unless it was ended before."""
        tail = deque(logged)
        if speech is not None and speech.id in ended and all(event.message != speech.id for event in tail):
            speech = None
        return cls(tail, speech, ended, _cut(tail, speech, ended))

    @property
    def over(self) -> bool:
        """Whether what comes now is new; `speech` goes on."""
        return not self.tail and (self.speech is None or self.speech.id not in self.ended)

    def differ(self) -> Spoken | None:
        """Ends the replay where this attempt went another way; the message to be kept as incomplete, if any."""
        unfinished = self.cut if self.tail else None
        self.tail.clear()
        if self.cut is not None or (self.speech is not None and self.speech.id in self.ended):
            self.speech = None
        return unfinished

    def swallow(self, output: Plain | Made) -> tuple[Plain | Made | None, bool]:
        """What is left of an output, and whether it is still as it was: if not, `differ` is to be called first."""
        match output:
            case TextDelta(text):
                rest, same = self._repeat(TEXT, text)
                return (TextDelta(rest) if rest else None), same
            case ThinkingDelta(text):
                rest, same = self._repeat(THINKING, text)
                return (ThinkingDelta(rest) if rest else None), same
            case MessageEnd():
                return self._end(output)
            case ToolStarted(id):
                return self._match(output, self._is("tool.use.started", id))
            case ToolCompleted(id):
                return self._match(output, self._is("tool.use.completed", id))
            case Custom(_, data):
                text = to_json(data).decode()
                return self._match(output, bool(self.tail) and self.tail[0][:2] == ("agent.custom", text))
            case Made():
                return self._match(output, self._made(output))
            case Checkpoint():
                return (None if self.tail else output), True  # the log is further than that already
            case PermissionRequest():
                return output, not self.tail  # it comes behind all that was said
        return output, True  # usage: it was used again

    def _repeat(self, kind: str, text: str) -> tuple[str, bool]:
        """The text without what the log has of it."""
        while text:
            head = self.tail[0] if self.tail else None
            if head is None:
                return text, self.over
            known = min(len(text), len(head.content))
            if head.type != kind or head.content[:known] != text[:known]:
                return text, False
            self._say(head, known)
            text = text[known:]
            self.tail.popleft()
            if known < len(head.content):
                self.tail.appendleft(head._replace(content=head.content[known:]))
        return "", True

    def _say(self, head: Logged, size: int) -> None:
        if head.type == TEXT and head.message is not None:
            if self.speech is None or self.speech.id != head.message:
                self.speech = Speech(head.message)
            self.speech.add(head.content[:size])

    def _made(self, made: Made) -> bool:
        """Whether the log's next event is this file, under the id that it got then."""
        if not self.tail or self.tail[0].type != FILE:
            return False
        logged = from_json(self.tail[0].content)["file"]
        return bool(shown(made) | {"id": logged["id"]} == logged)

    def _is(self, kind: str, call: str) -> bool:
        return bool(self.tail) and (self.tail[0].type, self.tail[0].tool_call) == (kind, call)

    def _match(self, output: Plain | Made, same: bool) -> tuple[Plain | Made | None, bool]:
        if same:
            self.tail.popleft()
            return None, True
        return output, not self.tail

    def _end(self, output: Plain) -> tuple[Plain | None, bool]:
        """The end of a message that is over in the log, too, is known."""
        speech = self.speech
        if speech is None:
            return None, True
        if any(event.message == speech.id for event in self.tail):
            return output, False
        if speech.id in self.ended:
            self.speech = None
            return None, True
        return output, not self.tail


def _cut(tail: Iterable[Logged], speech: Speech | None, ended: Collection[str]) -> Spoken | None:
    """The last message of the log with all its text, where it was not ended."""
    spoken = [event for event in tail if event.type == TEXT]
    last = spoken[-1].message if spoken else None
    if last is None or last in ended:
        return None
    before = speech.pieces if speech is not None and speech.id == last else []
    text = "".join([*before, *(event.content for event in spoken if event.message == last)])
    return Spoken(MessageId(last), text, RESTARTED)
