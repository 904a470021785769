"""The AIML / OpenAI dialect's words for what the core says: statuses, reasons, pages."""

from datetime import UTC, datetime

import pytest
from pydantic_core import from_json, to_json

from api.dialects.openai import encode, kept
from api.handlers.openai import Window
from shared import ids
from shared.ids import AgentId, RequestId, RunId, ThreadId
from shared.models import TERMINAL, Run, RunError, RunStatus, Trigger
from shared.views import OpenRequest, RunRecord

NOW = datetime(2026, 1, 2, tzinfo=UTC)
THREAD, AGENT = ThreadId(ids.mint()), AgentId(ids.mint())
# What OpenAI's clients know of a run.
KNOWN = {"queued", "in_progress", "requires_action", "cancelled", "failed", "completed", "expired"}


def record(status: RunStatus, *requests: OpenRequest, error: RunError | None = None) -> RunRecord:
    over = NOW if status in TERMINAL else None
    return RunRecord(Run(RunId(ids.mint()), 1, status, Trigger.USER_PROMPT, NOW, NOW, NOW, over, error), None, requests)


@pytest.mark.parametrize("status", RunStatus)
def test_every_status_of_a_run_has_a_word_that_clients_know(status: RunStatus) -> None:
    document = encode.run(record(status), THREAD, AGENT)
    assert document["status"] in KNOWN
    times = {name for name in ("completed_at", "failed_at", "cancelled_at", "expires_at") if document[name] is not None}
    assert len(times) == (status in TERMINAL)
    assert (document["usage"] is not None) is (status in TERMINAL)


def test_a_run_asks_only_while_a_request_is_open() -> None:
    """Between its last decision and its next lease it waits for a worker: who polls must not answer twice."""
    request = OpenRequest(RequestId(ids.mint()), "May I?", None, None)
    asking = encode.run(record(RunStatus.WAITING_INPUT, request), THREAD, AGENT)
    (call,) = asking["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert (asking["status"], call["id"]) == ("requires_action", request.id)
    decided = encode.run(record(RunStatus.WAITING_INPUT), THREAD, AGENT)
    assert (decided["status"], decided["required_action"]) == ("queued", None)


@pytest.mark.parametrize(
    ("code", "word"), [("model.rate_limited", "rate_limit_exceeded"), ("runtime.lost", "server_error")]
)
def test_an_error_of_a_run_keeps_its_own_code_in_its_message(code: str, word: str) -> None:
    failed = record(RunStatus.FAILED, error=RunError(code, "Why.", retryable=True))
    assert encode.run(failed, THREAD, AGENT)["last_error"] == {"code": word, "message": f"{code}: Why."}


@pytest.mark.parametrize("descending", [True, False])
def test_a_page_before_a_cursor_is_read_from_there_and_shown_the_other_way_round(descending: bool) -> None:
    cursor = ids.mint()
    window = Window(2, descending, None, cursor)
    assert window.reads_descending is not descending
    assert window.bounds == ((cursor, None) if descending else (None, cursor))
    assert window.shown([1, 2, 3]) == ([2, 1], True)
    behind = Window(2, descending, cursor, None)
    assert behind.reads_descending is descending
    assert behind.shown([1, 2]) == ([1, 2], False)


@pytest.mark.parametrize("status", RunStatus)
def test_a_run_that_is_kept_with_a_key_is_shown_as_it_was(status: RunStatus) -> None:
    """What is written for a first answer is what its replay reads."""
    request = OpenRequest(RequestId(ids.mint()), "May I?", "tool", {"n": [1, None], "é": "\u0000"})
    error = RunError("runtime.lost", "Why.", retryable=True) if status is RunStatus.FAILED else None
    run = record(status, request, error=error).run
    before = RunRecord(run, {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}, (request,), {"a": "1"})
    after, agent = kept.recalled(from_json(to_json(kept.run(before, AGENT))))
    assert agent == AGENT
    assert encode.run(after, THREAD, agent) == encode.run(before, THREAD, AGENT)
    assert after.run.started_at == before.run.started_at
