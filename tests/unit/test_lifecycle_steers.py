"""Messages that steer: offered to the running runner, counted once it acknowledges them, else runs of their own."""

from dataclasses import replace

import pytest

from shared.effects import (
    SteerOffered,
    SteerSettled,
)
from shared.events import UserInterrupt
from shared.ids import MessageId
from shared.models import BusyPolicy, RunStatus
from shared.reports import RunFinished, SteerAcknowledged
from tests.unit.story import Story, codes, logged, some


@pytest.mark.parametrize("status", [RunStatus.BOOTING, RunStatus.RUNNING])
def test_policy_steer_offers_the_text_to_the_runner(status: RunStatus) -> None:
    story = Story(BusyPolicy.STEER)
    current = story.in_status(status)
    done = story.say("Be brief.")
    assert done.result.run == current
    assert codes(done) == []
    assert logged(done.effects) == [("user.message", current.id)]
    [offered] = [effect.steer for effect in done.effects if isinstance(effect, SteerOffered)]
    assert (offered.target, offered.text, offered.settled) == (current.id, "Be brief.", False)
    assert offered.event == story.thread.last_event_id
    assert (story.thread.last_run_id, story.thread.active_runs) == (current.id, 1)


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.WAITING_INPUT])
def test_policy_steer_queues_where_no_runner_works(status: RunStatus) -> None:
    story = Story(BusyPolicy.STEER)
    current = story.in_status(status)
    done = story.say()
    assert some(done.result).status == RunStatus.QUEUED
    assert [(w.code, w.run) for w in done.result.warnings] == [("queued_behind", current.id)]


def test_an_acknowledged_steer_counts_and_becomes_no_run() -> None:
    story = Story(BusyPolicy.STEER)
    current = story.running()
    story.say()
    [steer] = story.ledger.steers.values()
    done = story.tell(SteerAcknowledged(steer.run))
    assert done.effects == (SteerSettled(replace(steer, settled=True)),)
    story.tell(RunFinished(current.id))
    assert story.ledger.active == []
    assert story.tell(SteerAcknowledged(steer.run)).effects == ()


def test_steers_become_queued_runs_with_their_minted_ids_when_their_run_ends_first() -> None:
    story = Story(BusyPolicy.STEER)
    current = story.running()
    waiting = story.queued()
    story.say("one")
    story.say("two")
    one, two = story.ledger.steers.values()
    done = story.tell(RunFinished(current.id))
    assert [run.id for run in story.ledger.active] == [waiting.id, one.run, two.run]
    assert story.ledger.inputs[one.run] == (MessageId(one.event),)
    assert story.thread.last_run_id == two.run
    assert logged(done.effects) == [("run.completed", current.id)]
    assert all(steer.settled for steer in story.ledger.steers.values())


def test_a_steer_stays_with_its_run_when_another_one_ends() -> None:
    story = Story(BusyPolicy.STEER)
    story.running()
    behind = story.queued()
    story.say()
    [steer] = story.ledger.steers.values()
    story.tell(UserInterrupt(behind.id))
    assert story.ledger.steers[steer.run] == steer


def test_a_message_that_interrupts_goes_before_the_steers_of_the_run_it_ends() -> None:
    story = Story()
    story.running()
    story.say(on_busy=BusyPolicy.STEER)
    [steer] = story.ledger.steers.values()
    run = some(story.say(on_busy=BusyPolicy.INTERRUPT).result)
    assert [active.id for active in story.ledger.active] == [run.id, steer.run]
    assert story.thread.last_run_id == run.id
