"""The table, what obeys it, and the page that is printed from it."""

from pathlib import Path
from typing import get_args

import pytest

from shared.effects import RequestSettled, RunMoved, WarningCode
from shared.events import (
    Event,
    PermissionDecision,
    RunEdited,
    RunRetried,
    ThreadArchived,
    ThreadDeleted,
    UserInterrupt,
    UserMessage,
)
from shared.ids import RequestId, RunId
from shared.lifecycle import NOTICES
from shared.lifecycle.page import page
from shared.lifecycle.table import REQUEST_MOVES, RUN_ENDED, RUN_MOVES, RUNS_MAY
from shared.models import TERMINAL, BusyPolicy, RequestState, Run, RunError, RunStatus
from shared.reports import (
    Ask,
    AttemptLost,
    RunExpired,
    RunFinished,
    RunLeased,
    RunnerEvent,
    RunReleased,
    RunResumed,
    RunStarted,
    RunWaits,
)
from tests.unit.ledger import number
from tests.unit.story import Story

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
FAILED = RunError("runner.failed", "It failed.", retryable=False)
Move = tuple[RunStatus, str, RunStatus]


def everything_about(run: Run) -> list[Event | RunnerEvent]:
    """Each event that could move a run, in each of its forms."""
    return [
        UserMessage(RunId(number(50)), "hello", None, BusyPolicy.INTERRUPT),
        UserInterrupt(run.id),
        RunEdited(run.id, "hello"),
        RunRetried(RunId(number(52)), run.id),
        ThreadArchived(),
        ThreadDeleted(),
        RunLeased(run.id),
        RunStarted(run.id),
        RunWaits(run.id, (Ask(RequestId(number(51)), "May I?"),)),
        RunResumed(run.id),
        RunReleased(run.id),
        RunFinished(run.id),
        RunFinished(run.id, FAILED),
        RunExpired(run.id),
        AttemptLost(run.id),
        AttemptLost(run.id, limit=0),
    ]


def lives() -> list[Story]:
    """A thread for each status of its first run; waiting ones with their requests open, and settled."""
    stories = []
    for status in (RunStatus.QUEUED, RunStatus.BOOTING, RunStatus.RUNNING, RunStatus.WAITING_INPUT):
        story = Story()
        story.in_status(status)
        stories.append(story)
    settled = Story()
    _, [request] = settled.waiting()
    settled.tell(PermissionDecision(request, allow=True))
    return [*stories, settled]


def moves_made() -> set[Move]:
    made: set[Move] = set()
    for n in range(len(everything_about(lives()[0].ledger.active[0]))):
        for story in lives():
            before = story.ledger.active[0]
            event = everything_about(before)[n]
            for effect in story.tell(event).effects:
                if isinstance(effect, RunMoved) and effect.run.id == before.id:
                    made.add((before.status, event.type, effect.run.status))
    return made


def test_a_step_makes_every_move_of_the_table_and_no_other() -> None:
    assert moves_made() == {move for move in RUNS_MAY if move[0] is not None}


def test_no_row_stands_twice() -> None:
    assert len(RUNS_MAY) == len(RUN_MOVES)


def test_nothing_leads_out_of_a_terminal_status_and_nothing_back_into_the_queue() -> None:
    assert not [move for move in RUN_MOVES if move.source in TERMINAL]
    into = {move.source for move in RUN_MOVES if move.target == RunStatus.QUEUED}
    assert into == {None, RunStatus.QUEUED}


def test_every_way_out_of_a_status_is_named_by_an_event() -> None:
    kinds = {kind.type for kind in (*get_args(Event), *get_args(RunnerEvent))} | {RUN_ENDED}
    assert {move.by for move in RUN_MOVES} | {move.by for move in REQUEST_MOVES} <= kinds


@pytest.mark.parametrize("target", sorted(TERMINAL))
def test_a_terminal_run_never_moves_again(target: RunStatus) -> None:
    story = Story()
    run = story.running()
    ends: dict[RunStatus, Event | RunnerEvent] = {
        RunStatus.COMPLETED: RunFinished(run.id),
        RunStatus.FAILED: RunFinished(run.id, FAILED),
        RunStatus.CANCELLED: UserInterrupt(),
        RunStatus.EXPIRED: RunExpired(run.id),
    }
    story.tell(ends[target])
    ended = story.run(run.id)
    assert ended.status == target
    for event in everything_about(ended):
        effects = story.tell(event).effects
        assert not [effect for effect in effects if isinstance(effect, RunMoved) and effect.run.id == run.id]
    assert story.run(run.id) == ended


@pytest.mark.parametrize("state", [state for state in RequestState if state != RequestState.PENDING])
def test_a_settled_request_never_moves_again(state: RequestState) -> None:
    assert not [move for move in REQUEST_MOVES if move.source == state]
    story = Story()
    _, [request] = story.waiting()
    story.tell(PermissionDecision(request, allow=True))
    effects = [*story.tell(PermissionDecision(request, allow=False)).effects, *story.tell(UserInterrupt()).effects]
    assert not [effect for effect in effects if isinstance(effect, RequestSettled)]


def test_the_page_is_what_the_table_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m shared.lifecycle.page > docs/lifecycle.md"


@pytest.mark.parametrize("word", [*RunStatus, *RequestState, *BusyPolicy, *WarningCode])
def test_every_state_policy_and_warning_is_on_the_page(word: str) -> None:
    assert f"`{word}`" in page()


def test_every_warning_code_has_its_notice() -> None:
    assert set(NOTICES) == set(WarningCode)
