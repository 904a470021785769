"""How a stream ends: done, waiting, stopped, or failed."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from ag_ui.core import (
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    TokenUsage,
)

from worker.runners.agui import failures
from worker.runners.agui.asking import ask
from worker.runners.agui.calls import Calls
from worker.runners.agui.memory import Memory
from worker.runners.agui.state import State
from worker.runners.agui.transcript import Transcript
from worker.runners.failing import RunnerError
from worker.runners.outputs import TOKENS_LIMIT, Custom, Output, Usage

MESSAGE = 500  # characters of an endpoint's own words in an error
_ODD = re.compile(r"[^a-z_.]+")


class Ending:
    def __init__(
        self, memory: Memory, state: State, transcript: Transcript, calls: Calls, clock: Callable[[], datetime]
    ) -> None:
        self._memory = memory
        self._state = state
        self._transcript = transcript
        self._calls = calls
        self._clock = clock

    def finished(self, event: RunFinishedEvent) -> Iterator[Output]:
        """Raises RunnerError where the endpoint stopped, or asks for what can't be asked."""
        yield from self._calls.flush()
        yield from _usage(event.usage)
        match event.outcome:
            case RunFinishedInterruptOutcome():
                yield from self._waiting(event.outcome)
            case RunFinishedCancelledOutcome():
                raise RunnerError("The endpoint stopped the run.", code=failures.UPSTREAM)
            case success:
                yield from self._calls.finish((success and success.pending_tool_call_ids) or ())
                if event.result is not None:
                    yield Custom("agui.result", event.result)
                yield Memory(run=self._memory.run, finished=True, state=self._state.value).checkpoint()

    def failed(self, event: RunErrorEvent) -> Iterator[Output]:
        """Raises RunnerError, in the endpoint's words."""
        yield from _usage(event.usage)
        raise RunnerError(_bounded(event.message), code=_code(event.code))

    def _waiting(self, outcome: RunFinishedInterruptOutcome) -> Iterator[Output]:
        if self._transcript.overflowed:
            raise failures.protocol("The endpoint said too much before it asked: more than can be handed back to it.")
        memory = Memory(
            run=self._memory.run,
            leg=self._memory.leg + 1,
            state=self._state.value,
            asked=ask(outcome.interrupts, self._memory.leg, self._calls.pending),
            calls=self._calls.pending,
            messages=self._transcript.messages(),
            whole=self._transcript.whole,
        )
        yield memory.checkpoint()
        now = self._clock()
        for asked in memory.asked:
            yield asked.request(now)


def _usage(entries: Sequence[TokenUsage] | None) -> Iterator[Output]:
    if entries:
        read = sum(entry.input_tokens or 0 for entry in entries)
        written = sum(entry.output_tokens or 0 for entry in entries)
        yield Usage(min(read, TOKENS_LIMIT), min(written, TOKENS_LIMIT))


def _bounded(message: str) -> str:
    message = message.strip() or "The endpoint failed without a word."
    return message if len(message) <= MESSAGE else f"{message[: MESSAGE - 1]}…"


def _code(code: str | None) -> str:
    """The endpoint's own, as far as a code of ours can say it, and not to be taken for one of ours."""
    said = _ODD.sub("_", (code or "").lower()).strip("_.")
    return f"agui.{said}"[:64] if said else failures.UPSTREAM
