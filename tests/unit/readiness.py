"""What `ready_at` of a thread must say after each step, worked out beside the core from what was reported so far."""

from shared.effects import RunMoved
from shared.events import Event
from shared.ids import RunId
from shared.lifecycle import State, Step
from shared.models import RequestState, Run, RunStatus
from shared.reports import AttemptLost, RunLeased, RunnerEvent, RunReleased, RunResumed, RunStarted, RunWaits

TAKES = RunLeased | RunStarted | RunResumed
GIVES_UP = AttemptLost | RunReleased | RunWaits


class Readiness:
    def __init__(self) -> None:
        self.held: RunId | None = None  # the run that a worker has

    def check(self, event: Event | RunnerEvent, before: State, done: Step) -> None:
        """`ready_at` is set exactly while the current run waits for a worker, and says since when it does."""
        current = done.state.queue[0] if done.state.queue else None
        self._note_holder(event, current, done)
        waits = current is not None and self._waits(current, done.state)
        ready_at, was = done.state.thread.ready_at, before.thread.ready_at
        assert (ready_at is not None) is waits
        same = current is not None and bool(before.queue) and before.queue[0].id == current.id
        if not waits:
            return
        if not same or was is None:
            assert ready_at == done.state.thread.updated_at, "it waits since this step"
        elif not isinstance(event, GIVES_UP):
            assert ready_at == was, "it has waited since then"

    def _waits(self, current: Run, state: State) -> bool:
        asked = {request.run for request in state.requests.values() if request.state == RequestState.PENDING}
        match current.status:
            case RunStatus.QUEUED:
                return True
            case RunStatus.BOOTING:
                return current.id != self.held
            case RunStatus.WAITING_INPUT:
                return current.id != self.held and current.id not in asked
            case _:
                return False

    def _note_holder(self, event: Event | RunnerEvent, current: Run | None, done: Step) -> None:
        """Who drives a run has it, leased or not; who loses it, gives it back or asks no longer does."""
        if current is None or current.id != self.held:
            self.held = None
        if current is None or getattr(event, "run", None) != current.id:
            return
        moved = any(isinstance(effect, RunMoved) and effect.run.id == current.id for effect in done.effects)
        if moved and isinstance(event, TAKES):
            self.held = current.id
        elif isinstance(event, AttemptLost) or (moved and isinstance(event, GIVES_UP)):
            self.held = None
