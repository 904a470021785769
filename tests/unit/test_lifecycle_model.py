"""Random lives of a thread: what must hold after every batch and every report, whatever came before.

The ledger checks each write against the schema's constraints and the promises of docs/lifecycle.md; here are
the sequences, and what can only be seen by comparing two ways to the same place.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.events import (
    Event,
    MessageAdded,
    MessageDeleted,
    PermissionDecision,
    RunEdited,
    RunRequested,
    RunRetried,
    ThreadArchived,
    ThreadDeleted,
    ThreadUnarchived,
    UserInterrupt,
    UserMessage,
)
from shared.ids import AgentId, MessageId, RequestId, RunId, Ulid
from shared.lifecycle import QUEUE_LIMIT, Step, step
from shared.models import BusyPolicy, RunError
from shared.reports import (
    Ask,
    AttemptLost,
    Entry,
    RequestExpired,
    RunExpired,
    RunFinished,
    RunLeased,
    RunnerEvent,
    RunOutput,
    RunReleased,
    RunResumed,
    RunStarted,
    RunWaits,
    Spoken,
    SteerAcknowledged,
    Tokens,
)
from tests.unit.ledger import NOON, Ledger, fresh_at, number
from tests.unit.readiness import Readiness
from tests.unit.steps import check_edit, check_metadata, check_output, check_steers

FAILED = RunError("runner.failed", "It failed.", retryable=False)
POLICIES = st.sampled_from([None, *BusyPolicy])
CLOCK = st.sampled_from([0, 0, 1, 40, 2_000, 60_000, -500, -3_600_000])  # ms: a clock may step back
TEXTS = st.sampled_from(["Say hello.", "  first\n\n second ", "x" * 200, "…"])
CLIENT_REQUESTS = st.sampled_from([None, None, "a", "b", "c"])
KINDS = st.sampled_from(
    ["message"] * 12
    + ["interrupt"] * 5
    + ["decision"] * 4
    + ["edit"] * 3
    + ["retry"] * 3
    + ["requested"] * 2
    + ["added", "removed", "archive", "unarchive"]
)
REPORTS = st.sampled_from(
    [
        *(RunLeased, RunLeased, RunStarted, RunStarted, RunFinished),
        *(RunResumed, RunExpired, AttemptLost, RunReleased),
    ]
)


class LifeOfAThread(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.now = NOON
        self.minted = 100
        self.finished: dict[RunId, object] = {}
        self.readiness = Readiness()

    @initialize(policy=st.sampled_from(BusyPolicy), waiting=st.sampled_from([0, 0, 0, 0, 0, 3, 99, 101]))
    def begin(self, policy: BusyPolicy, waiting: int) -> None:
        self.ledger.policy = policy
        for _ in range(waiting):
            self.apply([UserMessage(self.run_id(), "hello", None, BusyPolicy.QUEUE)])

    @rule(data=st.data(), clock=CLOCK, size=st.integers(1, 5))
    def send(self, data: st.DataObject, clock: int, size: int) -> None:
        """A batch, and at once the same one again: its clientRequestIds start nothing twice."""
        self.tick(clock)
        events = [self.draw_event(data) for _ in range(size)]
        self.apply(events)
        self.repeat(events)

    @rule(kind=REPORTS, data=st.data(), clock=CLOCK)
    def report(self, kind: Callable[[RunId], RunnerEvent], data: st.DataObject, clock: int) -> None:
        self.tick(clock)
        run = self.draw_run(data)
        event = kind(run)
        if isinstance(event, RunFinished) and data.draw(st.booleans()):
            event = RunFinished(run, FAILED)
        self.apply([event])

    @rule(clock=CLOCK)
    @precondition(lambda self: self.ledger.active)
    def work(self, clock: int) -> None:
        """The current run gets as far as running, however it stands, if nothing is asked."""
        self.tick(clock)
        run = self.ledger.active[0].id
        self.apply([RunLeased(run), RunStarted(run), RunResumed(run)])

    @rule(data=st.data(), clock=CLOCK, checked=st.booleans(), end=st.sampled_from([None, RunFinished, RunReleased]))
    def yield_(
        self,
        data: st.DataObject,
        clock: int,
        checked: bool,
        end: Callable[[RunId], RunnerEvent] | None,
    ) -> None:
        """What a runner yields, and perhaps how it ends with that: as the append writes it."""
        self.tick(clock)
        run = self.draw_run(data)
        message = MessageId(self.mint())
        said = data.draw(st.sampled_from([(), (Spoken(message, "hello"),), (Spoken(message, "he", "run.cancelled"),)]))
        entries = (Entry("agent.message.delta", "hello"), Entry("usage.updated", "{}", tokens=3))
        output = RunOutput(run, entries, said, '{"n":1}' if checked else None, Tokens(1, 2))
        self.apply([output, *([end(run)] if end else [])])

    @rule(clock=CLOCK)
    @precondition(lambda self: self.ledger.active)
    def hand_over(self, clock: int) -> None:
        """The worker of the current run stops, and another one goes on."""
        self.tick(clock)
        run = self.ledger.active[0].id
        self.apply([RunReleased(run), RunLeased(run), RunStarted(run)])

    @rule(data=st.data(), clock=CLOCK, count=st.integers(0, 3))
    def ask(self, data: st.DataObject, clock: int, count: int) -> None:
        self.tick(clock)
        deadline = data.draw(st.sampled_from([None, self.now + timedelta(minutes=1)]))
        asks = tuple(Ask(RequestId(self.mint()), "May I?", "shell", {"cmd": "ls"}, deadline) for _ in range(count))
        self.apply([RunWaits(self.draw_run(data), asks)])

    @rule(data=st.data(), clock=CLOCK)
    @precondition(lambda self: self.ledger.requests)
    def time_out(self, data: st.DataObject, clock: int) -> None:
        self.tick(clock)
        self.apply([RequestExpired(data.draw(st.sampled_from(sorted(self.ledger.requests))))])

    @rule(data=st.data(), clock=CLOCK)
    @precondition(lambda self: self.ledger.steers)
    def acknowledge(self, data: st.DataObject, clock: int) -> None:
        self.tick(clock)
        self.apply([SteerAcknowledged(data.draw(st.sampled_from(sorted(self.ledger.steers))))])

    @rule(data=st.data(), clock=CLOCK)
    @precondition(lambda self: self.ledger.open_requests)
    def decide(self, data: st.DataObject, clock: int) -> None:
        """Every open request is decided, and the run is given back to a worker."""
        self.tick(clock)
        answers = [PermissionDecision(request, data.draw(st.booleans())) for request in self.ledger.open_requests]
        self.apply([*answers, RunLeased(self.ledger.active[0].id)])

    @rule(clock=CLOCK)
    @precondition(lambda self: self.ledger.active)
    def lose(self, clock: int) -> None:
        """The worker of the current run dies, and so does the next one."""
        self.tick(clock)
        run = self.ledger.active[0].id
        self.apply([AttemptLost(run), RunLeased(run), AttemptLost(run), RunLeased(run), RunStarted(run)])

    @rule(clock=CLOCK)
    @precondition(lambda self: self.ledger.thread.archived_at)
    def reopen(self, clock: int) -> None:
        self.tick(clock)
        self.apply([ThreadUnarchived()])

    @rule(clock=CLOCK)
    @precondition(lambda self: len(self.ledger.log) > 30)
    def delete(self, clock: int) -> None:
        """Late in a life: nothing happens to a thread after it."""
        self.tick(clock)
        self.apply([ThreadDeleted()])

    @invariant()
    def terminal_runs_never_move(self) -> None:
        for run in self.ledger.runs.values():
            if run.terminal:
                assert self.finished.setdefault(run.id, run) == run

    def apply(self, events: Sequence[Event | RunnerEvent]) -> list[Step]:
        """Applies a batch to the ledger, and beside it with every run loaded: both come to the same."""
        whole = self.ledger.load(events, runs=QUEUE_LIMIT + 1)
        steps = self.ledger.tell(events, self.now, runs=None)
        for event, done in zip(events, steps, strict=True):
            other = step(whole, event, self.now, fresh_at(self.now))
            assert (other.effects, other.result, other.state.thread) == (
                done.effects,
                done.result,
                done.state.thread,
            )
            assert other.state is not whole or not other.effects
            check_steers(event, done)
            self.check_first(event, other)
            check_edit(event, whole, other)
            check_metadata(event, other)
            check_output(event, whole, other)
            self.readiness.check(event, whole, other)
            whole = other.state
        stored = [run.attempt for run in self.ledger.active]  # a checkpoint lowers them where it is stored
        assert all(now in (run.attempt, min(run.attempt, 1)) for now, run in zip(stored, whole.queue, strict=True))
        assert [run._replace(attempt=0) for run in whole.queue] == [r._replace(attempt=0) for r in self.ledger.active]
        return steps

    def check_first(self, event: Event | RunnerEvent, done: Step) -> None:
        """A message that interrupts, and is taken, is the current run."""
        if isinstance(event, UserMessage) and (event.on_busy or self.ledger.policy) == BusyPolicy.INTERRUPT:
            assert not done.effects or done.state.queue[0] == done.result.run

    def repeat(self, events: Sequence[Event | RunnerEvent]) -> None:
        again = [
            replace(event, run=self.run_id())
            for event in events
            if isinstance(event, UserMessage) and event.client_request_id in self.ledger.seen
        ]
        for done in self.ledger.tell(again, self.now):
            assert done.effects == ()

    def tick(self, milliseconds: int) -> None:
        self.now += timedelta(milliseconds=milliseconds)

    def mint(self) -> Ulid:
        self.minted += 1
        return number(self.minted)

    def run_id(self) -> RunId:
        return RunId(self.mint())

    def draw_run(self, data: st.DataObject) -> RunId:
        """The current run most of the time; else any that there is or was, or none that there ever was."""
        known = [run.id for run in self.ledger.active[:1]] * 4
        known += [run.id for run in self.ledger.active[-1:]] + list(self.ledger.runs)[-3:]
        return data.draw(st.sampled_from([*known, RunId(number(9))]))

    def draw_event(self, data: st.DataObject) -> Event:
        match data.draw(KINDS):
            case "message":
                return UserMessage(self.run_id(), data.draw(TEXTS), data.draw(CLIENT_REQUESTS), data.draw(POLICIES))
            case "interrupt":
                return UserInterrupt(data.draw(st.sampled_from([None, self.draw_run(data)])))
            case "edit":
                return RunEdited(self.draw_run(data), data.draw(TEXTS))
            case "retry":
                return RunRetried(self.run_id(), self.draw_run(data))
            case "decision":
                request = data.draw(st.sampled_from([*sorted(self.ledger.requests), "what?"]))
                return PermissionDecision(request, data.draw(st.booleans()))
            case "added":
                role = data.draw(st.sampled_from(["user", "assistant"]))
                return MessageAdded(MessageId(self.mint()), role, [{"type": "text", "text": "hello"}])
            case "requested":
                agent = data.draw(st.sampled_from([None, self.ledger.thread.agent, AgentId(number(8))]))
                added = MessageAdded(MessageId(self.mint()), "user", [{"type": "text", "text": "go"}])
                metadata = data.draw(st.sampled_from([None, {"a": "1"}]))
                return RunRequested(self.run_id(), agent, data.draw(st.sampled_from([(), (added,)])), metadata=metadata)
            case "removed":
                return MessageDeleted(
                    data.draw(st.sampled_from([*list(self.ledger.messages)[-3:], MessageId(number(9))]))
                )
            case "archive":
                return ThreadArchived()
            case _:
                return ThreadUnarchived()


# 200 lives of up to 50 rules, each of 1 to 5 steps, each step taken twice.
LifeOfAThread.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class TestLifeOfAThread(LifeOfAThread.TestCase):  # type: ignore[misc, valid-type]  # hypothesis makes it, untyped
    def runTest(self) -> None:  # noqa: N802 - unittest's name
        before = Ledger.steps
        super().runTest()
        assert Ledger.steps - before >= 10_000
