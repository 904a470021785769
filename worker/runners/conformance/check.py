"""One rule, tried on one runner, in a loop of its own: a runner that hangs or blocks must not take its judge along."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from worker.runners.conformance.subject import Broken, NotApplicable, Rule, Subject
from worker.runners.localfiles import LocalShelf
from worker.runners.protocol import Runner

_RUNS = 60  # runs that a rule may make at most, each within the time-out
_LOOK_EVERY = 1.0  # seconds between looks whether the loop still turns


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    outcome: Outcome
    why: str

    @property
    def ok(self) -> bool:
        return self.outcome is not Outcome.FAILED


def check_rule(
    rule: Rule,
    runner: Runner,
    *,
    text: str = "Hello",
    config: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
    files: Sequence[Path] = (),
) -> Finding:
    """Tries one rule; to be called from a test that is no coroutine. `timeout`: seconds that one run may take; `files`
    are attached to the text. Raises OSError, InvalidRequest where one can't be.
    """
    with TemporaryDirectory(prefix="conformance-") as made:
        LocalShelf(files, datetime.now(UTC), Path(made))
        return _found(rule, Subject(runner, text, config or {}, timeout, files, Path(made)))


def _found(rule: Rule, subject: Subject) -> Finding:
    try:
        return Finding(rule.name, Outcome.PASSED, _loop().run(rule.check(subject), subject.timeout))
    except NotApplicable as reason:
        return Finding(rule.name, Outcome.NOT_APPLICABLE, str(reason))
    except Broken as reason:
        return Finding(rule.name, Outcome.FAILED, str(reason))
    except Exception as error:  # a runner may raise anything, anywhere
        return Finding(rule.name, Outcome.FAILED, f"{type(error).__name__}: {error}")


class _Loop:
    """A loop in a thread that does not hold the process up. All rules share it: what a runner keeps between its runs
    (clients, locks) belongs to one loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # a broken runner leaves tasks; the findings tell of them
        threading.Thread(target=self._loop.run_forever, name="conformance", daemon=True).start()

    def run(self, check: Coroutine[Any, Any, str], timeout: float) -> str:
        """What the check gives. Raises Broken where the loop stands still or the check never ends."""
        running = asyncio.run_coroutine_threadsafe(check, self._loop)
        for _ in range(round(timeout * _RUNS / _LOOK_EVERY)):
            try:
                return running.result(_LOOK_EVERY)
            except NotYet:
                if running.done():
                    raise
                self._look(timeout)
        running.cancel()
        raise Broken(f"this rule was not through within {timeout * _RUNS:g} s")

    def _look(self, timeout: float) -> None:
        turned: Future[None] = Future()
        self._loop.call_soon_threadsafe(turned.set_result, None)
        try:
            turned.result(timeout)
        except NotYet:
            _loop.cache_clear()  # this one is lost; the next rule gets another
            raise Broken(f"kept the loop for {timeout:g} s and did not come back") from None


@cache
def _loop() -> _Loop:
    return _Loop()
