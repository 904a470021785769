"""What holds of single steps of the lifecycle, whatever led up to them: the model's rules assert it of each one."""

from shared.effects import RunCreated, SteerSettled
from shared.events import Event, RunEdited, RunRequested, ThreadArchived, ThreadDeleted
from shared.lifecycle.state import State, Step
from shared.models import RunStatus, Trigger
from shared.reports import RunnerEvent, RunOutput, SteerAcknowledged


def check_output(event: Event | RunnerEvent, before: State, done: Step) -> None:
    """What a runner yields counts while its run is running and current, and moves nothing."""
    if isinstance(event, RunOutput):
        current = before.queue[0] if before.queue else None
        counts = current is not None and (current.id, current.status) == (event.run, RunStatus.RUNNING)
        assert bool(done.effects) is counts
        assert (done.state.queue, done.state.thread.ready_at) == (before.queue, before.thread.ready_at)


def check_steers(event: Event | RunnerEvent, done: Step) -> None:
    """A steer is acknowledged, goes with its thread, or becomes a run in the step that settles it."""
    settled = {effect.steer.run for effect in done.effects if isinstance(effect, SteerSettled)}
    created = {effect.run.id for effect in done.effects if isinstance(effect, RunCreated)}
    assert settled <= created or isinstance(event, SteerAcknowledged | ThreadArchived | ThreadDeleted)


def check_edit(event: Event | RunnerEvent, before: State, done: Step) -> None:
    """An edit is taken where its run is queued, and no retry; it changes no order and creates nothing."""
    if not isinstance(event, RunEdited) or before.thread.archived_at or before.thread.deleted_at:
        return
    run = next((run for run in before.queue if run.id == event.run), None)
    editable = run is not None and run.status == RunStatus.QUEUED and run.trigger != Trigger.RETRY
    assert bool(done.effects) is editable
    assert [run.id for run in before.queue] == [run.id for run in done.state.queue]


def check_metadata(event: Event | RunnerEvent, done: Step) -> None:
    """A run has those that it was requested with, and any other run none."""
    wanted = event.metadata if isinstance(event, RunRequested) else None
    assert all(effect.metadata == wanted for effect in done.effects if isinstance(effect, RunCreated))
