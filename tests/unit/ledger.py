"""The tables of one thread, in memory: writes what a step asks for as the schema would, and loads it again.

Every write is checked against the constraints of shared/db/migrations/0002_threads.sql, so each test of the
core that goes through a ledger shows that its effects can be stored.
"""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from shared import ids
from shared.effects import (
    ClientRequestSeen,
    Effect,
    EventLogged,
    InputEdited,
    MessageAmended,
    MessageRemoved,
    MessageWritten,
    RequestOpened,
    RequestSettled,
    RunCreated,
    RunKept,
    RunMoved,
    SteerOffered,
    SteerSettled,
    ThreadAmended,
)
from shared.events import Event
from shared.ids import AccountId, AgentId, EventId, MessageId, RequestId, RunId, ThreadId, TokenId, Ulid
from shared.lifecycle import ALL_RUNS, QUEUE_LIMIT, State, Step, names, needed_runs, step
from shared.lifecycle.state import Note, Waiting
from shared.models import (
    EXECUTING,
    BusyPolicy,
    PermissionRequest,
    RequestState,
    Run,
    RunStatus,
    Steer,
    Thread,
    ThreadStatus,
    TokenKind,
)
from shared.reports import RunnerEvent
from tests.unit.records import check_move, check_run, check_thread

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ENDS = frozenset({"run.completed", "run.failed"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def number(n: int) -> Ulid:
    """The n-th id of a test: the same at each run."""
    return ids.from_bytes(n.to_bytes(16, "big"))


def fresh_at(moment: datetime) -> EventId:
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return EventId(ids.from_bytes(milliseconds.to_bytes(6, "big") + bytes(10)))


def new_thread(created_at: datetime = NOON) -> Thread:
    return Thread(
        partition=7,
        id=ThreadId(number(1)),
        account=AccountId(number(2)),
        agent=AgentId(number(3)),
        kind="cattle",
        title=None,
        user_id="u-1",
        client_external_ref="linear-ENG-123",
        attributed_user=number(4),
        created_by=TokenId(number(5)),
        created_by_kind=TokenKind.HUMAN_PAT,
        status=ThreadStatus.IDLE,
        active_runs=0,
        last_run_id=None,
        last_run_seq=0,
        last_event_id=None,
        held=False,
        archived_at=None,
        deleted_at=None,
        created_at=created_at,
        updated_at=created_at,
    )


class Ledger:
    steps: ClassVar[int] = 0  # that all ledgers of this process took

    def __init__(self, policy: BusyPolicy = BusyPolicy.QUEUE) -> None:
        self.thread = new_thread()
        self.policy = policy
        self.runs: dict[RunId, Run] = {}
        self.created: list[RunId] = []
        self.inputs: dict[RunId, tuple[MessageId, ...]] = {}
        self.log: list[EventLogged] = []
        self.ended: set[RunId] = set()  # runs whose end is in the log
        self.messages: dict[MessageId, MessageWritten] = {}
        self.requests: dict[RequestId, PermissionRequest] = {}
        self.steers: dict[RunId, Steer] = {}
        self.seen: dict[str, RunId] = {}
        self.kept: dict[RunId, RunKept] = {}  # the last checkpoint, its place, all that was used
        self.requested: set[RunId] = set()  # runs that no message of their own started
        self.removed: set[MessageId] = set()
        self.name: str | None = None
        self.metadata: dict[str, str] = {}
        self.progressed: set[RunId] = set()  # runs with another checkpoint than before

    @property
    def active(self) -> list[Run]:
        return sorted((run for run in self.runs.values() if not run.terminal), key=lambda run: run.seq)

    @property
    def at_work(self) -> set[RunId]:
        return {run.id for run in self.active if run.status in EXECUTING}

    @property
    def open_requests(self) -> list[RequestId]:
        return [r.id for r in self.requests.values() if r.state == RequestState.PENDING]

    def load(self, events: Sequence[Event | RunnerEvent], runs: int | None = None) -> State:
        """The state for these events, with as few of the queue's runs as they need, or the first `runs`."""
        named = names(events)
        queue = tuple(self.active[: needed_runs(events, self.policy) if runs is None else runs])
        front = {run.id for run in queue}
        requests = {
            request.id: request
            for request in self.requests.values()
            if request.id in named.requests or (request.run in front and request.state == RequestState.PENDING)
        }
        seen = {name: self.seen[name] for name in named.client_requests & self.seen.keys()}
        wanted = {*named.runs, *seen.values(), *(request.run for request in requests.values())}
        others = {run: self.runs[run] for run in wanted & self.runs.keys() - front}
        steers = tuple(steer for steer in self.steers.values() if not steer.settled)
        found = [self.messages[message] for message in named.messages if message in self.messages]
        notes: dict[MessageId | None, Note] = {m.id: Note(m.metadata or {}, m.run) for m in found}
        if named.metadata:
            notes[None] = Note(self.metadata)
        waits = [m for m in self.messages.values() if m.role == "user" and m.run is None] if named.waiting else []
        waiting = Waiting(len(waits), sum(len(json.dumps(m.parts)) for m in waits))
        return State(self.thread, self.policy, queue, others, requests, seen, steers, notes, waiting)

    def tell(
        self,
        events: Sequence[Event | RunnerEvent],
        now: datetime,
        accepted_at: datetime | None = None,
        runs: int | None = ALL_RUNS,
    ) -> list[Step]:
        """Loads once, steps through the events, writes. Returns the steps."""
        state = self.load(events, runs)
        steps = []
        for event in events:
            done = step(state, event, now, fresh_at(now), accepted_at)
            steps.append(done)
            Ledger.steps += 1
            state = done.state
        for done in steps:
            self.write(done.state.thread, done.effects)
        self._count_anew()
        return steps

    def write(self, thread: Thread, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self._write(effect)
        check_thread(self.thread, thread)
        self.thread = thread
        self.check()

    def _write(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one case for each effect
        match effect:
            case RunCreated(run, messages, retries, collects):
                assert run.id not in self.runs
                if collects:
                    messages = self._collect(run.id)
                if collects or retries in self.requested:
                    self.requested.add(run.id)
                if retries is not None:
                    assert self.runs[retries].terminal
                    messages = self.inputs[retries]
                self.runs[run.id] = run
                self.created.append(run.id)
                self.inputs[run.id] = messages
                check_run(run)
            case RunMoved(run):
                check_move(self.runs[run.id], run)
                self.runs[run.id] = run
            case RunKept():
                self._keep(effect)
            case InputEdited(edited, text):
                for message in self.inputs[edited][:1]:
                    self._edit(message, text)
            case EventLogged():
                assert not self.log or effect.id > self.log[-1].id
                assert effect.run is None or effect.run not in self.ended, "logged after the run's end"
                self.log.append(effect)
                if effect.type in ENDS and effect.run is not None:
                    self.ended.add(effect.run)
            case MessageWritten():
                assert effect.id not in self.messages
                self.messages[effect.id] = effect
            case RequestOpened(request):
                assert request.id not in self.requests
                self.requests[request.id] = request
            case RequestSettled(request):
                assert self.requests[request.id].state == RequestState.PENDING
                assert request.state != RequestState.PENDING
                self.requests[request.id] = request
            case SteerOffered(steer):
                assert steer.run not in self.steers
                self.steers[steer.run] = steer
            case SteerSettled(steer):
                assert not self.steers[steer.run].settled
                self.steers[steer.run] = steer
            case ClientRequestSeen(name, run):
                assert name not in self.seen
                self.seen[name] = run
            case MessageAmended(message, metadata):
                self.messages[message] = self.messages[message]._replace(metadata=dict(metadata))
            case MessageRemoved(message):
                assert self.messages.pop(message).run not in self.at_work
                self.removed.add(message)
                self.log = [e for e in self.log if message not in (MessageId(e.id), e.message)]
            case ThreadAmended(name, metadata):
                self.name = self.name if name is None else name
                self.metadata = self.metadata if metadata is None else dict(metadata)

    def _collect(self, run: RunId) -> tuple[MessageId, ...]:
        """The user's messages without a run, which are this run's from now on."""
        waiting = [m for m in self.messages.values() if m.role == "user" and m.run is None]
        self.messages |= {m.id: m._replace(run=run) for m in waiting}
        return tuple(m.id for m in waiting)

    def _keep(self, kept: RunKept) -> None:
        """As `say` of shared/db/sql/said.sql: what is not said stays."""
        before = self.kept.get(kept.run, RunKept(kept.run, None, None, None))
        if kept.place is not None:
            assert self.log[-1].id == kept.place, "its place is the end of the log"
        if kept.checkpoint not in (None, before.checkpoint):
            self.progressed.add(kept.run)
        self.kept[kept.run] = RunKept(
            kept.run,
            before.checkpoint if kept.checkpoint is None else kept.checkpoint,
            before.place if kept.place is None else kept.place,
            before.usage if kept.usage is None else kept.usage,
        )

    def _count_anew(self) -> None:
        """The same statement, which comes behind the moves: from another checkpoint on, only its own attempt counts."""
        for of in self.progressed:
            self.runs[of] = self.runs[of]._replace(attempt=min(self.runs[of].attempt, 1))
        self.progressed.clear()

    def _edit(self, message: MessageId, text: str) -> None:
        assert not [run for run, read in self.inputs.items() if message in read and self.runs[run].started_at]
        if message in self.removed:
            return
        self.messages[message] = self.messages[message]._replace(parts=[{"type": "text", "text": text}])
        (place,) = [n for n, event in enumerate(self.log) if message in (MessageId(event.id), event.message)]
        self.log[place] = self.log[place]._replace(content=text)

    def check(self) -> None:
        """What must hold between any two steps."""
        active = self.active
        assert self.thread.active_runs == len(active)
        assert len({run.seq for run in active}) == len(active)
        assert sum(run.status in EXECUTING for run in active) <= 1
        assert all(run.status == RunStatus.QUEUED for run in active[1:])
        assert sum(run.status == RunStatus.QUEUED for run in active) <= QUEUE_LIMIT
        assert (self.thread.status == ThreadStatus.RUNNING) == bool(active)
        assert self.ended == {run.id for run in self.runs.values() if run.terminal}
        assert self.thread.last_run_id == (self.created[-1] if self.created else None)
        if not self.removed:
            assert self.thread.last_event_id == (self.log[-1].id if self.log else None)
        assert all(run.seq <= self.thread.last_run_seq for run in self.runs.values())
        assert {m for messages in self.inputs.values() for m in messages} <= self.messages.keys() | self.removed
        assert all(self.inputs[run] for run in self.inputs.keys() - self.requested), "a run answers nothing"
        open_runs = {r.run for r in self.requests.values() if r.state == RequestState.PENDING}
        assert all(self.runs[run].status == RunStatus.WAITING_INPUT for run in open_runs)
        assert all(steer.target == active[0].id for steer in self.steers.values() if not steer.settled)
        self._check_ready(active[0] if active else None, open_runs)

    def _check_ready(self, current: Run | None, asking: Collection[RunId]) -> None:
        """Where it follows from the rows. Whether somebody has a run that boots, or is about to resume, does not."""
        ready = self.thread.ready_at is not None
        if current is None or current.status == RunStatus.RUNNING or current.id in asking:
            assert not ready
        if current is not None and current.status == RunStatus.QUEUED:
            assert ready
