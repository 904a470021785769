"""User messages: on an idle thread, on a busy one under each policy, twice, too many; titles."""

import pytest

from shared.effects import (
    ClientRequestSeen,
    EventLogged,
    MessageWritten,
    RunCreated,
    RunMoved,
)
from shared.events import MessageAdded, ThreadArchived, UserInterrupt, UserMessage
from shared.ids import MessageId, RunId, successor
from shared.lifecycle import QUEUE_LIMIT, State, needed_runs, step, title_of
from shared.models import BusyPolicy, RequestState, RunStatus, ThreadStatus
from shared.reports import RunFinished
from tests.unit.ledger import NOON, fresh_at, number
from tests.unit.story import Story, codes, logged, some

BUSY = [RunStatus.QUEUED, RunStatus.BOOTING, RunStatus.RUNNING, RunStatus.WAITING_INPUT]


def test_a_message_on_an_idle_thread_starts_a_run() -> None:
    story = Story()
    done = story.say("Say hello.")
    run = some(done.result)
    assert (run.status, run.seq, run.attempt) == (RunStatus.QUEUED, 1, 0)
    assert (run.created_at, run.updated_at) == (story.now, story.now)
    assert (run.started_at, run.completed_at) == (None, None)
    assert done.result.warnings == ()
    assert (story.thread.status, story.thread.active_runs) == (ThreadStatus.RUNNING, 1)
    assert story.thread.last_run_id == run.id
    assert story.thread.updated_at == story.now


def test_its_effects_come_in_the_order_of_what_happened() -> None:
    created, written, message, seen, status = Story().say("Say hello.", client_request_id="r-1").effects
    assert isinstance(created, RunCreated)
    assert isinstance(written, MessageWritten)
    assert isinstance(message, EventLogged)
    assert isinstance(seen, ClientRequestSeen)
    assert isinstance(status, EventLogged)
    assert created.input == (written.id,)
    assert written.id == MessageId(message.id)
    assert written.parts == [{"type": "text", "text": "Say hello."}]
    assert (message.type, message.content, message.run) == ("user.message", "Say hello.", created.run.id)
    assert (status.type, status.content) == ("session.status", "RUNNING")
    assert seen == ClientRequestSeen("r-1", created.run.id)


def test_two_events_of_one_step_have_consecutive_ids() -> None:
    story = Story()
    effects = story.say().effects
    message, status = (effect for effect in effects if isinstance(effect, EventLogged))
    assert message.id == fresh_at(story.now)
    assert status.id == successor(message.id) == story.thread.last_event_id


def test_an_event_carries_the_time_of_its_step() -> None:
    story = Story()
    story.say()
    story.say()
    assert story.thread.last_event_id == fresh_at(story.now)


def test_a_clock_that_steps_back_moves_neither_times_nor_event_ids_back() -> None:
    story = Story()
    first = some(story.say().result)
    before = story.thread
    assert before.last_event_id is not None
    [done] = story.ledger.tell([UserInterrupt()], NOON)
    ended = some(done.result)
    assert ended.completed_at == ended.started_at == first.created_at == before.updated_at
    assert story.ledger.log[-2].id == successor(before.last_event_id)


@pytest.mark.parametrize("status", BUSY)
def test_policy_queue_puts_a_run_at_the_end_and_names_the_current_one(status: RunStatus) -> None:
    story = Story()
    current = story.in_status(status)
    story.queued()
    done = story.say()
    run = some(done.result)
    assert [waiting.id for waiting in story.ledger.active][-1] == run.id
    assert codes(done) == ["queued_behind"]
    assert done.result.warnings[0].run == current.id
    assert logged(done.effects) == [("user.message", run.id)]


@pytest.mark.parametrize("status", BUSY)
def test_policy_reject_stores_nothing_and_names_the_current_run(status: RunStatus) -> None:
    story = Story(BusyPolicy.REJECT)
    current = story.in_status(status)
    before = story.ledger.load([])
    done = story.say(client_request_id="r-1")
    assert done.result.run is None
    assert [(w.code, w.run) for w in done.result.warnings] == [("run_active", current.id)]
    assert done.effects == ()
    assert story.ledger.load([]) == before
    assert story.ledger.seen == {}


@pytest.mark.parametrize("status", BUSY)
def test_policy_interrupt_cancels_the_current_run_and_goes_before_the_queued_ones(status: RunStatus) -> None:
    story = Story()
    current = story.in_status(status)
    behind = [story.queued(), story.queued()]
    done = story.say(on_busy=BusyPolicy.INTERRUPT)
    run = some(done.result)
    assert story.run(current.id).status == RunStatus.CANCELLED
    assert [active.id for active in story.ledger.active] == [run.id, *(waiting.id for waiting in behind)]
    assert all(story.run(waiting.id).updated_at == story.now for waiting in behind)
    assert logged(done.effects) == [("run.completed", current.id), ("user.message", run.id)]
    assert story.thread.status == ThreadStatus.RUNNING


def test_policy_interrupt_says_that_it_dropped_an_open_permission_request() -> None:
    story = Story()
    current, [request] = story.waiting()
    done = story.say(on_busy=BusyPolicy.INTERRUPT)
    assert story.request(request).state == RequestState.SUPERSEDED
    assert [(w.code, w.run) for w in done.result.warnings] == [("permission_superseded", current.id)]


@pytest.mark.parametrize("policy", [BusyPolicy.QUEUE, BusyPolicy.REJECT, BusyPolicy.STEER])
def test_no_other_policy_touches_an_open_permission_request(policy: BusyPolicy) -> None:
    story = Story(policy)
    _, [request] = story.waiting()
    assert len(codes(story.say())) == 1
    assert story.request(request).state == RequestState.PENDING


@pytest.mark.parametrize("policy", [BusyPolicy.QUEUE, BusyPolicy.STEER])
def test_the_hundred_and_first_queued_run_is_refused(policy: BusyPolicy) -> None:
    story = Story()
    story.running()
    for _ in range(QUEUE_LIMIT):
        assert codes(story.say(client_request_id=story.mint())) == ["queued_behind"]
    done = story.say(on_busy=policy, client_request_id="one too many")
    assert done.result.run is None
    assert codes(done) == ["queue_full"]
    assert done.effects == ()
    assert "one too many" not in story.ledger.seen


def test_a_full_queue_refuses_a_message_that_interrupts_an_executing_run() -> None:
    story = Story()
    current = story.running()
    for _ in range(QUEUE_LIMIT):
        story.queued()
    assert codes(story.say(on_busy=BusyPolicy.INTERRUPT)) == ["queue_full"]
    assert story.run(current.id).status == RunStatus.RUNNING


def test_a_message_takes_the_place_of_the_queued_run_it_interrupts() -> None:
    story = Story()
    for _ in range(QUEUE_LIMIT):
        story.queued()
    done = story.say(on_busy=BusyPolicy.INTERRUPT)
    assert codes(done) == []
    assert story.ledger.active[0] == done.result.run
    assert story.thread.active_runs == QUEUE_LIMIT


def test_steers_count_as_queued_because_they_may_become_so() -> None:
    story = Story(BusyPolicy.STEER)
    current = story.running()
    for _ in range(QUEUE_LIMIT):
        story.say()
    assert codes(story.say()) == ["queue_full"]
    story.tell(RunFinished(current.id))
    assert len(story.ledger.active) == QUEUE_LIMIT


@pytest.mark.parametrize("policy", BusyPolicy)
def test_a_client_request_id_seen_before_returns_its_first_run_and_starts_nothing(policy: BusyPolicy) -> None:
    story = Story()
    first = some(story.say(client_request_id="r-1").result)
    story.running()
    done = story.say("another text", on_busy=policy, client_request_id="r-1")
    assert done.result.run == story.run(first.id)
    assert [(w.code, w.run) for w in done.result.warnings] == [("duplicate_request", first.id)]
    assert done.effects == ()


def test_a_client_request_id_is_kept_after_its_run_has_ended() -> None:
    story = Story()
    first = some(story.say(client_request_id="r-1").result)
    story.completed()
    done = story.say(client_request_id="r-1")
    assert some(done.result).id == first.id
    assert some(done.result).status == RunStatus.COMPLETED
    assert story.thread.status == ThreadStatus.IDLE


def test_within_one_batch_a_client_request_id_counts_once() -> None:
    story = Story()
    events = [UserMessage(RunId(story.mint()), "hello", "r-1") for _ in range(2)]
    first, second = story.ledger.tell(events, NOON)
    assert codes(first) == []
    assert codes(second) == ["duplicate_request"]
    assert second.result.run == first.result.run


def test_a_message_without_a_run_is_written_and_logged_and_starts_nothing() -> None:
    story = Story()
    message = MessageId(number(50))
    parts = [{"type": "text", "text": "One."}, {"type": "image"}, {"type": "text", "text": "Two."}]
    done = story.tell(MessageAdded(message, "user", parts, {"k": "v"}, "req-1"))
    assert done.result.run is None
    written, event = done.effects
    assert written == MessageWritten(message, "user", parts, story.now, None, {"k": "v"}, "req-1")
    assert isinstance(event, EventLogged)
    assert (event.type, event.content, event.run) == ("user.message", "One.\nTwo.", None)
    assert (story.thread.status, story.thread.title) == (ThreadStatus.IDLE, "One. Two.")


def test_an_assistants_message_without_a_run_is_logged_as_one_and_gives_no_title() -> None:
    story = Story()
    story.tell(MessageAdded(MessageId(number(50)), "assistant", [{"type": "text", "text": "Hi."}]))
    assert [(event.type, event.content) for event in story.ledger.log] == [("agent.message.delta", "Hi.")]
    assert story.thread.title is None


def test_the_first_user_text_gives_the_title_and_later_ones_never_change_it() -> None:
    story = Story()
    story.say("Plan the launch.\n\nIn detail.")
    story.say("Something else.")
    assert story.thread.title == "Plan the launch."


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("hello", "hello"),
        ("  two\n lines\there ", "two lines here"),
        ("first\n\nsecond", "first"),
        ("first\r\n \r\nsecond", "first"),
        ("\n\n  \n first\n\nsecond", "first"),
        ("a" * 80, "a" * 80),
        ("a" * 81, "a" * 79 + "…"),
        ("a" * 1_000_000, "a" * 79 + "…"),
        ("ab " * 40, ("ab " * 40)[:79] + "…"),
        ("a" * 40 + " " + "b" * 39, "a" * 40 + " " + "b" * 39),
        ("日本語 のタイトル", "日本語 のタイトル"),
        (" \n ", None),
        ("", None),
    ],
)
def test_a_title_is_the_first_paragraph_in_at_most_80_characters(text: str, title: str | None) -> None:
    assert title_of(text) == title


def test_a_message_behind_runs_that_were_not_loaded_is_queued_all_the_same() -> None:
    story = Story()
    for _ in range(5):
        story.queued()
    event = UserMessage(RunId(story.mint()), "hello")
    state = story.ledger.load([event])
    assert len(state.queue) == needed_runs([event], BusyPolicy.QUEUE) == 1
    done = step(state, event, story.now, fresh_at(story.now))
    assert some(done.result).seq == 6
    assert done.state.queue == state.queue
    assert done.state.others[event.run] == done.result.run


@pytest.mark.parametrize(
    "event", [UserMessage(RunId(number(50)), "hello", None, BusyPolicy.INTERRUPT), ThreadArchived()]
)
def test_what_needs_every_run_says_so_where_some_are_missing(event: UserMessage | ThreadArchived) -> None:
    story = Story()
    for _ in range(3):
        story.queued()
    with pytest.raises(ValueError, match="needs every run"):
        step(story.ledger.load([event], runs=1), event, story.now, fresh_at(story.now))


def test_a_busy_thread_without_any_run_loaded_is_refused() -> None:
    story = Story()
    story.queued()
    state: State = story.ledger.load([], runs=0)
    with pytest.raises(ValueError, match="none of its runs"):
        step(state, UserInterrupt(), story.now, fresh_at(story.now))


def test_renumbered_runs_change_in_nothing_else() -> None:
    story = Story()
    story.running()
    behind = story.queued()
    done = story.say(on_busy=BusyPolicy.INTERRUPT)
    [moved] = [effect.run for effect in done.effects if isinstance(effect, RunMoved) and effect.run.id == behind.id]
    assert moved == behind._replace(seq=moved.seq, updated_at=story.now)
