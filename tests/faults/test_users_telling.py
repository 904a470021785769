"""What a dialect told of a run is held against what the run said: each wrong word is found, and no right one."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.dialects.wire import UNREADABLE
from tests.contract.dialects.wire import frames as frames_in
from tests.faults.executions.answers import ASKED, DENIED
from tests.faults.history import Document, Reply
from tests.faults.right_users import (
    ALLOWED,
    ANSWERED,
    ASKING,
    CANCELLED,
    DECIDED,
    FIRST,
    NEEDED,
    QUESTION,
    STREAMED,
    again,
    answer,
    changed,
    delta,
    failure,
    found,
    frames,
    of_run,
    response,
    said,
    with_calls,
)
from tests.faults.users.calls import Call, refusal_of
from tests.faults.violations import Kind

WHOLE = ("response.text", {"text": "say m1-3"})
DONE = ("done", "[DONE]")
RUN = ("queued", "R1")


def told(call: Call, body: Document, status: int = 200) -> Call:
    """The same call, answered so."""
    return again(call, Reply(0, 1, status, body))


def seen(call: Call, body: Document, status: int = 200) -> set[Kind]:
    return found(with_calls(call, told(call, body, status)))


RIGHT: dict[str, tuple[Call, Document]] = {
    "a whole answer": (STREAMED, answer("R2", "say m1-3")),
    "a stream that was cut, and asked for again": (STREAMED, frames(delta("say "))),
    "who came when it asked": (QUESTION, frames(("response.text", {"text": ASKED}), response("R3", ASKED, asks="Q"))),
    "a decision's whole answer": (DECIDED, answer("R3", DENIED)),
    "a stream of OpenAI that was followed to its end": (
        ASKING,
        frames(of_run("created", "R5"), *said(ASKED), *said("say m1-8"), of_run("completed", "R5"), DONE),
    ),
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_was_told_rightly_is_no_violation(what: str) -> None:
    call, body = RIGHT[what]
    assert found(with_calls(call, again(call, Reply(0, 1, 200, body), *call.replies))) == set()


WRONG: dict[str, tuple[Kind, Call, Document]] = {
    "other words": (Kind.GARBLED, STREAMED, frames(delta("no"), WHOLE, response("R2", "say m1-3"))),
    "a beginning, to its end": (Kind.GARBLED, STREAMED, frames(delta("say "), WHOLE, response("R2", "say m1-3"))),
    "nothing, to its end": (Kind.GARBLED, STREAMED, frames(WHOLE, response("R2", "say m1-3"))),
    "garbage at the end": (Kind.GARBLED, STREAMED, frames(delta("say m1-3"), WHOLE, response("R2", "what?"))),
    "garbage between": (
        Kind.GARBLED,
        STREAMED,
        frames(delta("say m1-3"), ("response.text", {"text": "no"}), response("R2", "say m1-3")),
    ),
    "garbage as the whole answer": (Kind.GARBLED, STREAMED, answer("R2", "what?")),
    "no words as the whole answer": (Kind.GARBLED, STREAMED, answer("R2")),
    "another run": (Kind.UNEQUAL, STREAMED, answer("R1", "say m1-3")),
    "completed as lost": (Kind.GARBLED, STREAMED, frames(delta("say "), failure("runtime.lost"))),
    "completed as cancelled": (Kind.GARBLED, STREAMED, frames(failure("run.cancelled"))),
    "another question": (Kind.GARBLED, QUESTION, answer("R3", ASKED, asks="Q5")),
    "words of before it was decided": (Kind.GARBLED, DECIDED, answer("R3", ASKED, DENIED)),
    "half of what came of a decision": (Kind.GARBLED, DECIDED, frames(delta("I did"), response("R3", DENIED))),
    "done at a question": (Kind.GARBLED, QUESTION, answer("R3", ASKED)),
    "OpenAI: a beginning, to its end": (
        Kind.GARBLED,
        ALLOWED,
        frames(of_run("queued", "R5"), *said("say "), of_run("completed", "R5"), DONE),
    ),
    "OpenAI: nothing, to its end": (
        Kind.GARBLED,
        ALLOWED,
        frames(of_run("queued", "R5"), of_run("completed", "R5"), DONE),
    ),
    "OpenAI: completed as failed": (
        Kind.GARBLED,
        ALLOWED,
        frames(
            of_run("queued", "R5"),
            *said("say m1-8"),
            of_run("failed", "R5", last_error={"message": "runtime.lost: gone"}),
            DONE,
        ),
    ),
    "OpenAI: an end without a state": (Kind.GARBLED, ALLOWED, frames(of_run("queued", "R5"), *said("say m1-8"), DONE)),
    "OpenAI: another question": (
        Kind.GARBLED,
        ASKING,
        frames(
            of_run("created", "R5"),
            *said(ASKED),
            of_run("requires_action", "R5", required_action={"submit_tool_outputs": {"tool_calls": [{"id": "Q"}]}}),
            DONE,
        ),
    ),
    "OpenAI: another run": (
        Kind.UNEQUAL,
        ASKING,
        frames(of_run("created", "R1"), *said(ASKED), of_run("requires_action", "R1", required_action=NEEDED), DONE),
    ),
    "a document of another shape": (Kind.GARBLED, STREAMED, {"some": "thing"}),
    "frames of another shape": (Kind.GARBLED, STREAMED, frames(delta("say m1-3"), ("response", {}))),
    "OpenAI: a run of another thread": (Kind.GARBLED, ANSWERED, {**of_run("queued", "R1")[1], "thread_id": "P"}),
    "OpenAI: another message": (
        Kind.GARBLED,
        FIRST,
        {"thread_id": "O", "content": [{"text": {"value": "say m1-1"}}]},
    ),
    "OpenAI: a message of another thread": (
        Kind.GARBLED,
        FIRST,
        {"thread_id": "P", "content": [{"text": {"value": "say m1-0"}}]},
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_was_told_wrongly_is_found(what: str) -> None:
    kind, call, body = WRONG[what]
    assert kind in seen(call, body)
    assert kind in found(with_calls(call, again(told(call, body), run=None))), "and where its client knows no run"


def test_a_verdict_is_how_the_run_ended() -> None:
    cancelled = {"code": "399409", "error_code": "run.cancelled"}
    assert seen(STREAMED, cancelled, 409) == {Kind.GARBLED}
    lost = changed("runs", 3, status="failed", error="runtime.lost", attempt=3, losses=3)
    asked = again(CANCELLED, Reply(3, 4, 409, {"code": "399409", "error_code": "runtime.lost"}), dialect="cortex")
    assert Kind.GARBLED not in found(with_calls(CANCELLED, asked), lost)
    assert Kind.GARBLED in found(with_calls(CANCELLED, told(asked, cancelled, 409)), lost)


def test_a_run_that_is_named_is_the_one_that_answers() -> None:
    assert seen(ANSWERED, of_run("queued", "R1")[1]) == set()
    assert seen(ANSWERED, of_run("queued", "R4")[1]) == {Kind.UNEQUAL}


async def heard(*lines: bytes) -> list[tuple[str, object]]:
    async def stream() -> AsyncIterator[bytes]:
        for line in lines:
            yield line

    return [frame async for frame in frames_in(stream())]


async def test_only_a_last_line_without_its_end_may_be_no_frame() -> None:
    assert await heard(b"event: e\n", b'data: {"a":1}\n', b"\n", b": tick\n", b"event: f\n", b'data: {"a') == [
        ("e", {"a": 1})
    ]
    assert await heard(b"event: e\n", b'data: {"a\n') == [(UNREADABLE, '{"a')]
    assert await heard(b"Internal Server Error\n") == [(UNREADABLE, "Internal Server Error")]
    assert refusal_of(Reply(0, 1, 200, frames((UNREADABLE, "{")))) == (200, "no JSON")
