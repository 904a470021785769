"""The events of one stream as outputs: a table from each type to whoever reads it.

The stream may begin with runs that are over, repeated for whoever missed them: they are passed over.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from ag_ui.core import Event, EventType, RunStartedEvent

from worker.runners.agui import failures
from worker.runners.agui.calls import Calls
from worker.runners.agui.ending import Ending
from worker.runners.agui.events import Unknown, parse
from worker.runners.agui.memory import Memory
from worker.runners.agui.speech import Speech
from worker.runners.agui.state import State
from worker.runners.agui.transcript import Transcript
from worker.runners.outputs import Custom, Output, ThinkingDelta

Reader = Callable[[Any], Iterable[Output]]  # takes the event of its type

NAME = 64  # characters of the name of a custom output
TYPES = 20  # unknown types that are told apart
_TYPE = re.compile(r"[A-Z_]{1,64}")


class Translation:
    def __init__(self, memory: Memory, clock: Callable[[], datetime]) -> None:
        transcript = Transcript(memory.messages, whole=memory.whole)
        self.ended = False
        self.unknown: Counter[str] = Counter()
        self._run = memory.run_id
        self._open: str | None = None  # the run that the stream is in
        self._others = False
        self._state = State(memory.state)
        self._transcript = transcript
        self._speech = Speech(transcript)
        self._calls = Calls(transcript, memory.calls)
        self._ending = Ending(memory, self._state, transcript, self._calls, clock)
        self._readers = self._table()

    def read(self, data: str) -> Iterator[Output]:
        """Raises RunnerError: what the endpoint says of itself, or that it does not speak AG-UI."""
        event = parse(data)
        if isinstance(event, Unknown):
            name = event.type if _TYPE.fullmatch(event.type) and len(self.unknown) < TYPES else "(others)"
            self.unknown[name] += 1
        elif self._admits(event):
            yield from self._pause(event.type)
            yield from self._readers[event.type](event)

    def cut(self) -> Exception:
        """The stream is over, and the run is not."""
        if self._others:
            return failures.protocol("The endpoint answered with another run than it was asked for.")
        return failures.closed()

    def _admits(self, event: Event) -> bool:
        """Whether it is of our run, and not the one that opens it."""
        if isinstance(event, RunStartedEvent):
            self._open = event.run_id
            self._others |= event.run_id != self._run
            return False
        if event.type is EventType.RUN_ERROR and self._open is None:
            return True
        if self._open is None:
            raise failures.protocol(f"The endpoint sent {event.type.value} outside of a run.")
        ours = self._open == self._run
        if not ours and event.type in (EventType.RUN_FINISHED, EventType.RUN_ERROR):
            self._open = None
        return ours

    def _pause(self, kind: EventType) -> Iterator[Output]:
        """Only another chunk goes on with a message or call of chunks, and what says nothing does not end it."""
        if kind in _SILENT:
            return
        if kind is not EventType.TEXT_MESSAGE_CHUNK:
            yield from self._speech.pause()
        if kind is not EventType.TOOL_CALL_CHUNK:
            yield from self._calls.pause()

    def _table(self) -> Mapping[EventType, Reader]:
        return _ASIDE | {
            EventType.TEXT_MESSAGE_START: self._speech.start,
            EventType.TEXT_MESSAGE_CONTENT: self._speech.content,
            EventType.TEXT_MESSAGE_END: self._speech.end,
            EventType.TEXT_MESSAGE_CHUNK: self._speech.chunk,
            EventType.TOOL_CALL_START: self._calls.start,
            EventType.TOOL_CALL_ARGS: self._calls.args,
            EventType.TOOL_CALL_END: self._calls.end,
            EventType.TOOL_CALL_CHUNK: self._calls.chunk,
            EventType.TOOL_CALL_RESULT: self._calls.result,
            EventType.STATE_SNAPSHOT: self._quietly(self._state.replace),
            EventType.STATE_DELTA: self._quietly(self._state.change),
            EventType.MESSAGES_SNAPSHOT: self._quietly(self._transcript.replace),
            EventType.RUN_FINISHED: self._finished,
            EventType.RUN_ERROR: self._ending.failed,
        }

    @staticmethod
    def _quietly(change: Callable[[Any], None]) -> Reader:
        def read(event: Any) -> Iterable[Output]:
            change(event)
            return ()

        return read

    def _finished(self, event: Any) -> Iterator[Output]:
        yield from self._speech.finish()
        yield from self._ending.finished(event)
        self.ended = True


def _think(event: Any) -> Iterator[Output]:
    if event.delta:
        yield ThinkingDelta(event.delta)


def _custom(event: Any) -> Iterator[Output]:
    yield Custom(event.name[:NAME] or "agui.custom", event.value)


def _as_it_is(event: Any) -> Iterator[Output]:
    """As JSON, under its type in lower case: `agui.step_started`."""
    data = event.model_dump(mode="json", by_alias=True, exclude={"type"})
    yield Custom(f"agui.{event.type.value.lower()}", data)


def _pass(_: Any) -> Iterable[Output]:
    return ()


# What is neither said, nor done, nor kept.
_ASIDE: dict[EventType, Reader] = {
    EventType.REASONING_MESSAGE_CONTENT: _think,
    EventType.REASONING_MESSAGE_CHUNK: _think,
    EventType.REASONING_START: _pass,
    EventType.REASONING_MESSAGE_START: _pass,
    EventType.REASONING_MESSAGE_END: _pass,
    EventType.REASONING_END: _pass,
    EventType.REASONING_ENCRYPTED_VALUE: _pass,
    EventType.CUSTOM: _custom,
    EventType.RAW: _as_it_is,
    EventType.STEP_STARTED: _as_it_is,
    EventType.STEP_FINISHED: _as_it_is,
    EventType.ACTIVITY_SNAPSHOT: _as_it_is,
    EventType.ACTIVITY_DELTA: _as_it_is,
    EventType.SUBAGENT_STARTED: _as_it_is,
    EventType.SUBAGENT_FINISHED: _as_it_is,
    EventType.SUBAGENT_ERROR: _as_it_is,
}
_SILENT = {
    *(kind for kind, reader in _ASIDE.items() if reader is not _think),
    EventType.STATE_SNAPSHOT,
    EventType.STATE_DELTA,
}
