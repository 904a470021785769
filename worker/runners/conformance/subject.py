"""What is on trial: a runner, what it is told, and the records of its runs."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker.runners.contents import Shown
from worker.runners.context import Context, Decision, Message, Verdict
from worker.runners.drive import AskedTwice, Ended, Resumes, Waits, Yielded, drive
from worker.runners.files import Files
from worker.runners.localfiles import LocalShelf
from worker.runners.outputs import Checkpoint, PermissionRequest
from worker.runners.protocol import Runner

_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)  # the same at each attempt
_REQUESTS = 100  # of one run, after which it counts as asking for ever
VERDICTS = (Verdict.ALLOWED, Verdict.REJECTED, Verdict.EXPIRED)


class Broken(Exception):
    """The rule is broken; the text says how."""


class NotApplicable(Exception):
    """The runner does nothing that the rule speaks of."""


@dataclass(slots=True)
class Record:
    """One run from its first call to its end, and from where it could go on."""

    outputs: list[Shown] = field(default_factory=list)
    requests: list[PermissionRequest] = field(default_factory=list)
    calls: list[tuple[Context, int]] = field(default_factory=list)  # with how many outputs each had
    checkpoints: list[Context] = field(default_factory=list)  # as a next attempt is told of them
    ended: Ended = field(default_factory=lambda: Ended("completed"))

    def how(self) -> str:
        """Its end in one line, with what the runner raised: its author reads this."""
        error = self.ended.error
        if error is None:
            return self.ended.status
        cause = error.__cause__
        raised = "" if cause is None or str(cause) == error.message else f" ({type(cause).__name__}: {cause})"
        return f"{self.ended.status} with {error.code}: {error.message}{raised}"

    @property
    def asked_twice(self) -> bool:
        return self.ended.error is not None and isinstance(self.ended.error.__cause__, AskedTwice)


@dataclass(frozen=True, slots=True)
class Subject:
    runner: Runner
    text: str = "Hello"
    config: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 10.0  # seconds that one run may take
    files: Sequence[Path] = ()  # attached to what the user says
    made: Path = Path()  # a directory for files that it makes

    def context(self, text: str | None = None, run: str = "01K0000000000000000000RUN1") -> Context:
        shelf = LocalShelf(self.files, _MOMENT, self.made)
        message = Message("01K000000000000000000MESS1", "user", text or self.text, _MOMENT, files=shelf.ids)
        return Context(
            thread="01K0000000000000000THREAD1",
            run=run,
            account="01K000000000000000ACC0UNT1",
            agent="01K00000000000000000AGENT1",
            messages=(message,),
            config=self.config,
            files=Files(shelf),
        )

    async def record(self, ctx: Context | None = None, verdict: Verdict = Verdict.ALLOWED) -> Record:
        """One run, each of its requests decided by `verdict`. Raises Broken where it asks for ever."""
        now = ctx or self.context()
        record = Record(calls=[(now, 0)])

        async def decide(request: PermissionRequest) -> Decision:
            if len(record.requests) > _REQUESTS:
                raise Broken(f"asked for more than {_REQUESTS} permissions in one run")
            return Decision(verdict)

        async for happening in drive(self.runner, now, decide=decide, timeout=self.timeout):
            match happening:
                case Yielded(output):
                    now = _yielded(record, now, output)
                case Waits(requests):
                    record.requests.extend(requests)
                case Resumes(decisions):
                    now = replace(now, decisions={**now.decisions, **decisions}, attempt=1)
                    record.calls.append((now, 0))
                case Ended():
                    record.ended = happening
        return record


def _yielded(record: Record, now: Context, output: Shown) -> Context:
    called, count = record.calls[-1]
    record.calls[-1] = (called, count + 1)
    record.outputs.append(output)
    if isinstance(output, Checkpoint):
        now = replace(now, state=output.state)
        record.checkpoints.append(replace(now, attempt=2))
    return now


Check = Callable[[Subject], Coroutine[Any, Any, str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`check` gives what was seen, or raises Broken or NotApplicable."""

    name: str
    text: str
    check: Check

    def __str__(self) -> str:
        return self.name
