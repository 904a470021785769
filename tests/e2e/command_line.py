"""`threadmill` for tests: one command line, and what it ended with."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document of `--json`."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Threadmill = Callable[..., Awaitable[Ended]]
Make = Callable[..., Awaitable[None]]
