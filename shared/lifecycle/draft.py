"""The state that a step works on: lives as long as one call of `step`.

It is the only place where a run or a request changes, and it asks the table first. Records are built field by
field: `dataclasses.replace` costs more than the rest of a step.
"""

from datetime import datetime
from typing import Any

from shared.effects import Effect, EventLogged, RequestSettled, RunCreated, RunMoved
from shared.ids import EventId, MessageId, RequestId, RunId, successor
from shared.lifecycle.readiness import ready_since
from shared.lifecycle.state import State
from shared.lifecycle.table import REQUESTS_MAY, RUNS_MAY
from shared.models import (
    TERMINAL,
    PermissionRequest,
    RequestState,
    Run,
    RunError,
    RunStatus,
    Thread,
    ThreadStatus,
    Trigger,
)


class Draft:
    """A state being changed. `at` is the time of every change of this step: it never runs backwards."""

    __slots__ = (
        "_requests",
        "accepted_at",
        "active_runs",
        "agent",
        "archived_at",
        "at",
        "deleted_at",
        "effects",
        "fresh",
        "held",
        "last_event_id",
        "last_run_id",
        "last_run_seq",
        "notes",
        "others",
        "policy",
        "queue",
        "ready_at",
        "requests",
        "seen",
        "state",
        "steers",
        "thread",
        "title",
        "waiting",
    )

    def __init__(self, state: State, now: datetime, fresh: EventId, accepted_at: datetime | None) -> None:
        thread = state.thread
        self.state = state
        self.thread = thread
        self.policy = state.policy
        self.at = max(now, thread.updated_at)
        self.fresh = fresh
        self.accepted_at = accepted_at or now
        self.effects: list[Effect] = []
        self.queue = state.queue
        self.others = state.others
        self.requests = state.requests
        self._requests: dict[RequestId, PermissionRequest] | None = None  # a copy, once something of it changed
        self.seen = state.seen
        self.steers = state.steers
        self.notes = state.notes
        self.waiting = state.waiting
        self.title = thread.title
        self.agent = thread.agent
        self.active_runs = thread.active_runs
        self.last_run_id = thread.last_run_id
        self.last_run_seq = thread.last_run_seq
        self.last_event_id = thread.last_event_id
        self.held = thread.held
        self.archived_at = thread.archived_at
        self.deleted_at = thread.deleted_at
        self.ready_at = thread.ready_at

    @property
    def whole(self) -> bool:
        """Whether `queue` holds every run that is not terminal."""
        return len(self.queue) == self.active_runs

    @property
    def current(self) -> Run | None:
        """The first run that is not terminal. Raises ValueError where the caller loaded too few."""
        if self.queue:
            return self.queue[0]
        if self.active_runs:
            raise ValueError("a busy thread's state holds none of its runs")
        return None

    def find(self, run: RunId) -> Run | None:
        for candidate in self.queue:
            if candidate.id == run:
                return candidate
        return self.others.get(run)

    def open_requests(self, run: RunId) -> list[PermissionRequest]:
        return [
            request
            for request in self.requests.values()
            if request.run == run and request.state == RequestState.PENDING
        ]

    def log(
        self,
        kind: str,
        run: RunId | None = None,
        content: str | None = None,
        status: str = "available",
        *,
        request: RequestId | None = None,
        tool_name: str | None = None,
        tool_input: dict[str, Any] | None = None,
        duration_ms: int | None = None,
        message: EventId | None = None,
    ) -> EventId:
        """Appends one event to the log; its id is the next of this thread."""
        event = self.next_event_id()
        self.effects.append(
            EventLogged(
                event,
                kind,
                self.at,
                run,
                content,
                status,
                request,
                tool_name,
                tool_input,
                request,
                duration_ms=duration_ms,
                message=message,
            )
        )
        return event

    def log_as(self, event: EventId, kind: str, run: RunId, content: str) -> None:
        """Appends an event whose id was taken before, because the run it starts refers to it."""
        self.effects.append(EventLogged(event, kind, self.at, run, content))

    def next_event_id(self) -> EventId:
        """max(fresh, last + 1)."""
        last = self.last_event_id
        self.last_event_id = self.fresh if last is None or self.fresh > last else EventId(successor(last))
        return self.last_event_id

    def create(
        self,
        run: RunId,
        *messages: MessageId,
        retries: RunId | None = None,
        collects: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> Run:
        """A new run at the end of the queue, which answers `messages`, or those of a run, or the waiting ones."""
        self.agent = self.agent or self.state.fallback
        self.last_run_seq += 1
        trigger = Trigger.USER_PROMPT if retries is None else Trigger.RETRY
        created = Run(run, self.last_run_seq, RunStatus.QUEUED, trigger, self.at, None, self.at, None)
        if self.whole:
            self.queue = (*self.queue, created)
        else:
            self.others = {**self.others, run: created}
        self.active_runs += 1
        self.last_run_id = run
        self.effects.append(RunCreated(created, messages, retries, collects, metadata=metadata))
        return created

    def move(
        self,
        run: Run,
        by: str,
        target: RunStatus,
        *,
        attempt: int | None = None,
        error: RunError | None = None,
    ) -> Run | None:
        """The run after the move; None where the table has no such move, and then nothing changed."""
        if (run.status, by, target) not in RUNS_MAY:
            return None
        at = max(self.at, run.updated_at)
        moved = Run(
            run.id,
            run.seq,
            target,
            run.trigger,
            run.created_at,
            run.started_at or (None if target is RunStatus.QUEUED else at),
            at,
            at if target in TERMINAL else None,
            error,
            run.attempt if attempt is None else attempt,
        )
        self.effects.append(RunMoved(moved))
        self._place(moved)
        return moved

    def put_first(self, run: Run) -> Run:
        """Puts a run that was created last before the queued ones, which are renumbered after it."""
        behind = []
        for waiting in self.queue[:-1]:
            self.last_run_seq += 1
            behind.append(waiting._replace(seq=self.last_run_seq, updated_at=max(self.at, waiting.updated_at)))
        self.effects.extend(RunMoved(waiting) for waiting in behind)
        self.queue = (run, *behind)
        return run

    def keep_request(self, request: PermissionRequest) -> None:
        """The request as it is now; the mapping that the step began with is left as it was."""
        if self._requests is None:
            self.requests = self._requests = dict(self.requests)
        self._requests[request.id] = request

    def settle(
        self, request: PermissionRequest, by: str, target: RequestState, note: str | None = None
    ) -> PermissionRequest | None:
        """The request after the move; None where the table has no such move, and then nothing changed."""
        if (request.state, by, target) not in REQUESTS_MAY:
            return None
        settled = PermissionRequest(request.id, request.run, target, request.expires_at, note)
        self.keep_request(settled)
        self.effects.append(RequestSettled(settled, self.at))
        return settled

    def _place(self, run: Run) -> None:
        if run.completed_at is None:
            self.queue = tuple(run if other.id == run.id else other for other in self.queue)
            if run.id in self.others:  # a queued one behind those that were loaded
                self.others = {**self.others, run.id: run}
            return
        self.active_runs -= 1
        self.queue = tuple(other for other in self.queue if other.id != run.id)
        self.others = {**self.others, run.id: run}

    def freeze(self) -> State:
        """The state after the step; the very same one where nothing changed."""
        thread = self.thread
        status = thread.status
        if self.active_runs != thread.active_runs:
            status = ThreadStatus.RUNNING if self.active_runs else ThreadStatus.IDLE
            if status != thread.status:
                self.log("session.status", None, status)
        if not (
            self.effects
            or self.archived_at is not thread.archived_at
            or self.deleted_at is not thread.deleted_at
            or self.ready_at is not thread.ready_at
        ):
            return self.state
        state = self.state
        records = (self.queue, self.others, self.requests, self.seen, self.steers, self.notes)
        return State(self._thread(status), self.policy, *records, self.waiting, state.fallback)

    def _thread(self, status: ThreadStatus) -> Thread:
        thread = self.thread
        return Thread(
            partition=thread.partition,
            id=thread.id,
            account=thread.account,
            agent=self.agent,
            kind=thread.kind,
            title=self.title,
            user_id=thread.user_id,
            client_external_ref=thread.client_external_ref,
            attributed_user=thread.attributed_user,
            created_by=thread.created_by,
            created_by_kind=thread.created_by_kind,
            status=status,
            active_runs=self.active_runs,
            last_run_id=self.last_run_id,
            last_run_seq=self.last_run_seq,
            last_event_id=self.last_event_id,
            held=self.held,
            archived_at=self.archived_at,
            deleted_at=self.deleted_at,
            created_at=thread.created_at,
            updated_at=self.at if self.deleted_at is None else thread.updated_at,  # its place in lists: a cursor
            ready_at=ready_since(self),
        )
