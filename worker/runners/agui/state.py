"""The state that an endpoint keeps with its client: what it sent last, and what it changed in it since."""

from typing import Any

from ag_ui.core import StateDeltaEvent, StateSnapshotEvent

from worker.runners.agui import failures, patch
from worker.runners.agui.patch import Operation, PatchRefused, weigh

LIMIT = 512 << 10  # bytes, about: half of a checkpoint; the other one is for what was said before a wait


class State:
    """Its weight is known from above: what deltas add is added up, and weighed anew only once it might be too much."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._weight = LIMIT

    def replace(self, event: StateSnapshotEvent) -> None:
        """Raises RunnerError."""
        self.value = event.snapshot
        self._weigh()

    def change(self, event: StateDeltaEvent) -> None:
        """Raises RunnerError: a state that is no longer the endpoint's is worth nothing."""
        operations = [
            Operation(item.op, item.path, getattr(item, "from_", ""), getattr(item, "value", None))
            for item in event.delta
        ]
        try:
            self.value, added = patch.apply(self.value, operations)
        except PatchRefused as error:
            raise failures.protocol(f"The endpoint's STATE_DELTA does not fit its state: {error}.") from None
        self._weight += added
        if self._weight > LIMIT:
            self._weigh()

    def _weigh(self) -> None:
        try:
            self._weight = weigh(self.value, LIMIT)
        except PatchRefused as error:
            raise failures.protocol(f"The endpoint's state is {error}: at most {LIMIT >> 10} KiB are kept.") from None
