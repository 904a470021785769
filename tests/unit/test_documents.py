"""The native JSON objects, field by field as the wire contract lists them."""

import json
from datetime import UTC, datetime, timedelta, timezone

import hypothesis.strategies as st
import pytest
from hypothesis import given

from shared import documents
from shared.effects import Result, WarningCode
from shared.events import Event, ThreadArchived, UserInterrupt, UserMessage
from shared.ids import RunId
from shared.lifecycle import warned
from shared.models import Run, RunError, RunStatus, Trigger
from tests.unit.ledger import new_thread, number

MOMENT = datetime(2023, 11, 7, 5, 31, 56, 789_999, tzinfo=UTC)
RUN = Run(
    id=RunId(number(50)),
    seq=1,
    status=RunStatus.QUEUED,
    trigger=Trigger.USER_PROMPT,
    created_at=MOMENT,
    started_at=None,
    updated_at=MOMENT,
    completed_at=None,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MOMENT, "2023-11-07T05:31:56.789Z"),
        (MOMENT.replace(microsecond=0), "2023-11-07T05:31:56.000Z"),
        (MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45))), "2023-11-07T05:31:56.789Z"),
    ],
)
def test_a_moment_is_utc_in_milliseconds(value: datetime, text: str) -> None:
    assert documents.moment(value) == text


def test_a_run_has_the_fields_of_the_contract() -> None:
    assert json.loads(documents.run(RUN)) == {
        "completedAt": None,
        "createdAt": "2023-11-07T05:31:56.789Z",
        "error": None,
        "finalOutput": None,
        "id": number(50),
        "startedAt": None,
        "status": "queued",
        "trigger": "user_prompt",
        "updatedAt": "2023-11-07T05:31:56.789Z",
    }


def test_no_run_is_null() -> None:
    assert documents.run(None) == "null"


def test_a_completed_run_shows_its_last_text_and_a_failed_one_its_error() -> None:
    ended = RUN._replace(status=RunStatus.FAILED, error=RunError("runtime.lost", "Lost.", retryable=True))
    document = json.loads(documents.run(ended, "Hello."))
    assert document["finalOutput"] == {"text": "Hello."}
    assert document["error"] == {"code": "runtime.lost", "message": "Lost.", "retryable": True}


def test_an_expected_run_has_the_shape_of_a_run_and_no_times() -> None:
    expected, shown = json.loads(documents.expected_run(RUN.id)), json.loads(documents.run(RUN))
    assert expected.keys() == shown.keys()
    assert {name for name, value in expected.items() if value is not None} == {"id", "status", "trigger"}
    assert (expected["id"], expected["status"]) == (RUN.id, "queued")


def test_a_thread_has_the_fields_of_the_contract() -> None:
    thread = new_thread(MOMENT)._replace(title="Say hello.", last_run_id=RUN.id)
    assert json.loads(documents.thread(thread)) == {
        "agent_id": number(3),
        "attributed_user": {"id": number(4)},
        "client_external_ref": "linear-ENG-123",
        "created_at": "2023-11-07T05:31:56.789Z",
        "created_by": {"id": number(5), "kind": "human_pat"},
        "id": number(1),
        "kind": "cattle",
        "last_run_id": number(50),
        "source": "api",
        "status": "IDLE",
        "title": "Say hello.",
        "updated_at": "2023-11-07T05:31:56.789Z",
        "userId": "u-1",
    }


def test_a_thread_of_nobody_is_attributed_to_null() -> None:
    assert json.loads(documents.thread(new_thread()._replace(attributed_user=None)))["attributed_user"] is None


def test_a_warning_names_its_event_and_its_run_only_where_it_has_one() -> None:
    with_run = json.loads(documents.warning(warned(WarningCode.QUEUED_BEHIND, RUN.id), 3))
    assert with_run == {
        "code": "queued_behind",
        "message": "The run waits in the queue behind an active run.",
        "eventIndex": 3,
        "runId": RUN.id,
    }
    assert "runId" not in documents.warning(warned(WarningCode.NO_ACTIVE_RUN), 0)


def test_a_result_carries_the_id_of_a_user_message_in_both_spellings() -> None:
    result = documents.event_result(UserMessage(RUN.id, "hello", "r-1"), documents.run(RUN))
    assert json.loads(result) == {
        "clientRequestId": "r-1",
        "requestId": "r-1",
        "run": json.loads(documents.run(RUN)),
        "type": "user_message",
    }


def test_a_result_of_another_event_has_no_request_id() -> None:
    assert json.loads(documents.event_result(UserInterrupt(), "null")) == {
        "clientRequestId": None,
        "requestId": None,
        "run": None,
        "type": "user_interrupt",
    }


def test_an_outcome_holds_the_results_in_order_and_says_which_event_each_warning_is_about() -> None:
    events: list[Event] = [UserMessage(RUN.id, "hello"), UserInterrupt(), ThreadArchived()]
    results = [Result(RUN), Result(None, (warned(WarningCode.NO_ACTIVE_RUN),)), Result(None)]
    outcome = json.loads(documents.outcome(events, results, new_thread()))
    assert outcome.keys() == {"events", "thread", "warnings"}
    assert [result["type"] for result in outcome["events"]] == [event.type for event in events]
    assert [result["run"] for result in outcome["events"]] == [json.loads(documents.run(RUN)), None, None]
    assert outcome["thread"] == json.loads(documents.thread(new_thread()))
    assert [(w["code"], w["eventIndex"]) for w in outcome["warnings"]] == [("no_active_run", 1)]


@given(st.text(), st.text(), st.text(), st.text())
def test_what_clients_wrote_comes_back_as_it_was(title: str, user: str, ref: str, request: str) -> None:
    thread = new_thread()._replace(title=title, user_id=user, client_external_ref=ref)
    read = json.loads(documents.outcome([UserMessage(RUN.id, "hello", request)], [Result(None)], thread))
    assert [read["thread"][name] for name in ("title", "userId", "client_external_ref")] == [title, user, ref]
    assert read["events"][0]["requestId"] == request


def test_an_outcome_is_text_that_postgres_takes() -> None:
    """Non-ASCII stays as it is; nothing is escaped that was not in the input."""
    thread = new_thread()._replace(title="日本語 “%s” \u2028")
    assert "日本語 “%s” \u2028" in documents.outcome([], [], thread)


def test_an_outcome_needs_one_result_an_event() -> None:
    with pytest.raises(ValueError, match="zip"):
        documents.outcome([UserInterrupt()], [], new_thread())


def test_a_pending_answer_says_so() -> None:
    assert json.loads(documents.warning(documents.PENDING, 0))["code"] == "apply_pending"
    assert warned(WarningCode.APPLY_PENDING) == documents.PENDING
