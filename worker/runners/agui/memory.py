"""What a run keeps in its checkpoint: the endpoint's state, what it waits for, what was said before the wait.

A leg is what goes on between two waits: one POST, one stream. AG-UI counts each as a run of its own.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.runners.agui import failures
from worker.runners.agui.asking import Asked
from worker.runners.agui.calls import Pending
from worker.runners.context import Context, Decision
from worker.runners.failing import RunnerError
from worker.runners.outputs import Checkpoint

LIMIT = 1_000_000  # bytes: a checkpoint may have 1 MiB


class Memory(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    leg: int = 1
    finished: bool = False  # all of it was yielded: a worker that was lost then has nothing to do over
    state: Any = Field(default_factory=dict)
    asked: list[Asked] = []
    calls: dict[str, Pending] = {}
    messages: list[dict[str, Any]] = []
    whole: bool = False  # `messages` are the conversation, not only this run's part of it

    @classmethod
    def of(cls, ctx: Context) -> "Memory":
        """What the run left; of another run (a retry), the state alone. Raises RunnerError."""
        if ctx.state is None:
            return cls(run=ctx.run)
        try:
            memory = cls.model_validate(ctx.state)
        except ValidationError:
            raise RunnerError("The checkpoint of this run was not written by the runner `agui`.") from None
        return memory if memory.run == ctx.run else cls(run=ctx.run, state=memory.state)

    @property
    def run_id(self) -> str:
        """Of this leg, for the endpoint: the same at each attempt, another one after each wait."""
        return self.run if self.leg == 1 else f"{self.run}-{self.leg}"

    def undecided(self, decisions: Mapping[str, Decision]) -> list[Asked]:
        return [asked for asked in self.asked if asked.key not in decisions]

    def checkpoint(self) -> Checkpoint:
        """Raises RunnerError where it is more than may be kept."""
        state = self.model_dump(mode="json")
        if len(json.dumps(state, ensure_ascii=False).encode()) > LIMIT:
            raise failures.protocol("What the endpoint wants kept is over the limit of 1 MB.")
        return Checkpoint(state)
