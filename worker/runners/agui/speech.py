"""Text messages of the stream, as deltas and ends: whole ones, and those that come in chunks.

Our messages follow each other. Where an endpoint speaks two at once, each change from one to the other ends a message.
"""

from collections.abc import Iterator

from ag_ui.core import TextMessageChunkEvent, TextMessageContentEvent, TextMessageEndEvent, TextMessageStartEvent

from worker.runners.agui import failures
from worker.runners.agui.transcript import Transcript
from worker.runners.outputs import MessageEnd, Output, TextDelta

OPEN = 1_000  # messages that are spoken at once: more is a mistake


class Speech:
    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._ours: dict[str, bool] = {}  # open messages: whether the assistant says them
        self._speaking: str | None = None  # the message that has had text last, and no end
        self._chunked: str | None = None

    def start(self, event: TextMessageStartEvent) -> Iterator[Output]:
        self._open(event.message_id, event.role)
        yield from ()

    def content(self, event: TextMessageContentEvent) -> Iterator[Output]:
        yield from self._say(event.message_id, event.delta)

    def end(self, event: TextMessageEndEvent) -> Iterator[Output]:
        yield from self._end(event.message_id)

    def chunk(self, event: TextMessageChunkEvent) -> Iterator[Output]:
        """One without an id goes on with the message before it."""
        message = event.message_id or self._chunked
        if message is None:
            raise failures.protocol("The endpoint sent a TEXT_MESSAGE_CHUNK of no message.")
        if message != self._chunked:
            yield from self.pause()
            self._open(message, event.role)
            self._chunked = message
        yield from self._say(message, event.delta or "")

    def pause(self) -> Iterator[Output]:
        """Something else follows: that ends a message of chunks."""
        if self._chunked is not None:
            message, self._chunked = self._chunked, None
            yield from self._end(message)

    def finish(self) -> Iterator[Output]:
        if self._speaking is not None:
            yield from self._end(self._speaking)

    def _open(self, message: str, role: str | None) -> None:
        if len(self._ours) >= OPEN:
            raise failures.protocol(f"The endpoint has more than {OPEN} messages open at once.")
        self._ours[message] = role in (None, "assistant")

    def _say(self, message: str, text: str) -> Iterator[Output]:
        if not text or not self._ours.get(message, True):
            return  # a keep-alive, or what the endpoint repeats of somebody else's
        if self._speaking not in (None, message):
            yield MessageEnd()
        self._speaking = message
        self._transcript.say(message, text)
        yield TextDelta(text)

    def _end(self, message: str) -> Iterator[Output]:
        self._ours.pop(message, None)
        if self._speaking == message:
            self._speaking = None
            yield MessageEnd()
