"""The tape of one run: what its runner yielded and nobody has written yet, as reports in their order.

Deltas that follow one another become one event while they wait, so that a flood costs rows by its text, not by its
pieces. Refused here: any I/O, and judging what a runner may yield (`worker.runners.outputs.checked`).
"""

from dataclasses import dataclass, field

from pydantic_core import to_json

from shared import ids
from shared.ids import EventId, MessageId, RequestId, RunId
from shared.reports import Ask, Entry, Made, RunnerEvent, RunOutput, Spoken, SteerAcknowledged, Tokens
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
    Usage,
)

MERGED = 4096  # characters of one event up to which deltas that wait are put together
TEXT = "agent.message.delta"
THINKING = "agent.thinking.delta"
FILE = "file.changed"
FILES = "session_files.updated"
_MESSAGE_LIMIT = 8 << 20  # characters of one message, and of one thought
_LOG_LIMIT = 64 << 20  # characters of a run since its last checkpoint: all of it is read by the next attempt
_PIECES = 4_096  # of a message that are kept as they came: each costs more than its text


class TooLong(Exception):
    """A message is longer than 8 MiB of text, or all since a checkpoint than 64 MiB. Says which."""


@dataclass(slots=True)
class Speech:
    """The message that is under way: its id, and its text so far."""

    id: EventId
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, text: str) -> None:
        self.pieces.append(text)
        if len(self.pieces) > _PIECES:
            self.pieces = ["".join(self.pieces)]
        self.size += len(text)
        if self.size > _MESSAGE_LIMIT:
            raise TooLong("text: a message is longer than 8 MiB.")


@dataclass(slots=True)
class Tape:
    run: RunId
    used: Tokens = field(default_factory=lambda: Tokens(0, 0))
    size: int = 0  # characters that wait
    count: int = 0  # events that wait
    speech: Speech | None = None
    thinking: EventId | None = None
    asks: list[Ask] = field(default_factory=list)
    _reports: list[RunnerEvent] = field(default_factory=list)
    _entries: list[Entry] = field(default_factory=list)
    _messages: list[Spoken] = field(default_factory=list)
    _files: list[Made] = field(default_factory=list)
    _thought: int = 0  # characters of the thought under way
    _logged: int = 0  # characters since the last checkpoint
    _counted: bool = False  # whether `used` changed since the last report
    _started: dict[str, float] = field(default_factory=dict)  # tool calls under way -> when they began

    def add(self, output: Plain | Made, now: float) -> None:
        """Takes one output; `now` in seconds of any clock that only grows. Raises TooLong."""
        match output:
            case TextDelta(text):
                self._speak(text)
            case ThinkingDelta(text):
                self._think(text)
            case MessageEnd():
                self.end_message()
            case ToolStarted(id, name, input):
                self._started[id] = now
                self._log(Entry("tool.use.started", None, "available", id, name, input), len(to_json(input)))
            case ToolCompleted():
                self._complete(output, now)
            case PermissionRequest():
                self.asks.append(_ask(output))
                self._grow(len(output.title) + len(to_json(output.input)))
            case Checkpoint(state):
                self._check(state)
            case Usage(input_tokens, output_tokens):
                self._count(input_tokens, output_tokens)
            case Custom() | Made():
                self._tell(output)

    def acknowledge(self, steer: RunId) -> None:
        """A message that was offered is taken: what is yielded from now on may rest on it."""
        self._cut()
        self._reports.append(SteerAcknowledged(steer))

    def keep(self, message: Spoken) -> None:
        """A message of an earlier attempt that is over."""
        self._messages.append(message)

    def end_message(self, incomplete: str | None = None) -> None:
        """The message under way is over; `incomplete` says why it is not whole."""
        self.thinking = None
        speech, self.speech = self.speech, None
        if speech is not None:
            self.size += speech.size
            self._messages.append(Spoken(MessageId(speech.id), "".join(speech.pieces), incomplete))

    def take(self) -> list[RunnerEvent]:
        """All that waits, and no longer the tape's."""
        self._cut()
        reports, self._reports = self._reports, []
        self.size = self.count = 0
        return reports

    @property
    def empty(self) -> bool:
        return not (self._reports or self._entries or self._messages or self._counted)

    def _speak(self, text: str) -> None:
        if not text:
            return
        self.thinking = None
        if self.speech is None:
            self.speech = Speech(EventId(ids.mint()))
        self.speech.add(text)
        self._say(TEXT, text, self.speech.id)

    def _think(self, text: str) -> None:
        if not text:
            return
        if self.thinking is None:
            self.thinking, self._thought = EventId(ids.mint()), 0
        self._thought += len(text)
        if self._thought > _MESSAGE_LIMIT:
            raise TooLong("text: a thought is longer than 8 MiB.")
        self._say(THINKING, text, self.thinking)

    def _say(self, kind: str, text: str, message: EventId) -> None:
        last = self._entries[-1] if self._entries else None
        if last is not None and last.type == kind and last.message == message and len(last.content or "") < MERGED:
            self._entries[-1] = last._replace(content=f"{last.content}{text}")
            self._grow(len(text))
        else:
            self._log(Entry(kind, text, message=message))

    def _log(self, entry: Entry, more: int = 0) -> None:
        self._entries.append(entry)
        self.count += 1
        self._grow(len(entry.content or "") + more)

    def _grow(self, size: int) -> None:
        self.size += size
        self._logged += size
        if self._logged > _LOG_LIMIT:
            raise TooLong("The run yielded more than 64 MiB since its last checkpoint.")

    def _complete(self, output: ToolCompleted, now: float) -> None:
        began = self._started.pop(output.id, None)
        took = None if began is None else round((now - began) * 1_000)
        status = "error" if output.error else "available"
        self._log(Entry("tool.use.completed", output.output, status, output.id, duration_ms=took))

    def _count(self, input_tokens: int, output_tokens: int) -> None:
        self.used = Tokens(self.used.input + input_tokens, self.used.output + output_tokens)
        self._counted = True
        content = f'{{"input_tokens":{input_tokens},"output_tokens":{output_tokens}}}'
        self._log(Entry("usage.updated", content, tokens=input_tokens + output_tokens))

    def _tell(self, output: Custom | Made) -> None:
        if isinstance(output, Made):
            self._files.append(output)
            self._log(Entry(FILE, to_json({"change": "created", "file": shown(output)}).decode()))
        else:
            self._log(Entry("agent.custom", to_json(output.data).decode(), "unsupported", None, output.name))

    def _check(self, state: object) -> None:
        """A checkpoint lies between what came before it and what comes after."""
        text = to_json(state).decode()
        self._cut(text)
        self._logged = 0
        self.size += len(text)
        self.count += 1

    def _cut(self, checkpoint: str | None = None) -> None:
        """Ends a report, where there is something to say."""
        if not (self._entries or self._messages or self._counted or checkpoint is not None):
            return
        usage = self.used if self._counted else None
        if self._files:  # whoever lists them hears of it once, behind all of them
            listed = to_json({"fileIds": [made.id for made in self._files]}).decode()
            self._entries.append(Entry(FILES, listed))
        entries, messages, files = tuple(self._entries), tuple(self._messages), tuple(self._files)
        self._reports.append(RunOutput(self.run, entries, messages, checkpoint, usage, files))
        self._entries, self._messages, self._files, self._counted = [], [], [], False


def shown(made: Made) -> dict[str, object]:
    """A file as the log tells of it; a new attempt that makes the same but for the id has made it before."""
    return {
        "id": made.id,
        "name": made.name,
        "size": made.size,
        "mimeType": made.mime_type,
        "kind": "artifact",
        "sha256": made.sha256.hex(),
    }


def _ask(request: PermissionRequest) -> Ask:
    return Ask(
        RequestId(ids.mint()),
        request.title,
        request.tool,
        request.input,
        key=request.id,
        expires_in=request.expires_in,
    )
