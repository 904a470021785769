"""What every runner is, whoever wrote it, and how it says why it failed."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

from worker.runners.context import Context

if TYPE_CHECKING:
    from worker.runners.outputs import Output  # which imports RunnerError from here


class Runner(Protocol):
    """Called once an attempt, and again after each wait. Returning ends the run as completed (or lets it wait, where
    it asked for a permission), raising as failed. An interrupt cancels it: it gets 5 s to clean up, and what it yields
    then is not logged.
    """

    def __call__(self, ctx: Context, /) -> "AsyncIterator[Output]": ...


class RunnerError(Exception):
    """Why a run failed, for its client to see: `code` as `[a-z_.]{1,64}`, a message of ours or of the author's, whether
    trying the same again may help. Any other exception fails the run as `runner.failed`, with its text in the log only.
    """

    def __init__(self, message: str, *, code: str = "runner.failed", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retryable = retryable
