"""What every runner is, whoever wrote it."""

from collections.abc import AsyncIterator
from typing import Protocol

from worker.runners.context import Context
from worker.runners.outputs import Output


class Runner(Protocol):
    """Called once an attempt, and again after each wait. Returning ends the run as completed (or lets it wait, where
    it asked for a permission), raising as failed. An interrupt cancels it: it gets 5 s to clean up, and what it yields
    then is not logged.
    """

    def __call__(self, ctx: Context, /) -> AsyncIterator[Output]: ...
