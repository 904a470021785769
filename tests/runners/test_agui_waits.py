"""Interrupts of an AG-UI endpoint are permission requests, and their decisions are what it resumes with."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest
from ag_ui import core
from ag_ui.core import BaseEvent, Interrupt

from tests.runners.agui import Upstream, failure, outputs
from worker.runners import (
    Checkpoint,
    Context,
    Decision,
    MessageEnd,
    PermissionRequest,
    TextDelta,
    ToolCompleted,
    Verdict,
)

ALLOWED, REJECTED, EXPIRED = Decision(Verdict.ALLOWED), Decision(Verdict.REJECTED), Decision(Verdict.EXPIRED)
APPROVAL = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
PROPOSAL: tuple[BaseEvent, ...] = (
    core.TextMessageStartEvent(message_id="m"),
    core.TextMessageContentEvent(message_id="m", delta="I would "),
    core.TextMessageContentEvent(message_id="m", delta="send it."),
    core.TextMessageEndEvent(message_id="m"),
    core.ToolCallStartEvent(tool_call_id="c", tool_call_name="send", parent_message_id="m"),
    core.ToolCallArgsEvent(tool_call_id="c", delta='{"to":"a@example.com"}'),
    core.ToolCallEndEvent(tool_call_id="c"),
    core.StateSnapshotEvent(snapshot={"step": 1}),
)
SEND = Interrupt(id="i", reason="tool_call", message="Send it?", tool_call_id="c", response_schema=APPROVAL)


async def waiting(upstream: Upstream, ctx: Context) -> tuple[Context, Sequence[PermissionRequest]]:
    """The context of the next call, without its decisions, and what was asked."""
    found = await outputs(upstream, ctx)
    place = next(n for n, output in enumerate(found) if isinstance(output, Checkpoint))
    checkpoint, asked = found[place], found[place + 1 :]
    assert isinstance(checkpoint, Checkpoint)
    requests = [output for output in asked if isinstance(output, PermissionRequest)]
    assert requests
    assert requests == asked  # nothing else comes behind the checkpoint
    return replace(ctx, state=checkpoint.state), requests


async def resumed(upstream: Upstream, ctx: Context, **decisions: Decision) -> list[Any]:
    """The entries of `resume` once the first wait is over."""
    upstream.says()
    await outputs(upstream, replace(ctx, decisions={f"1:{name}": made for name, made in decisions.items()}))
    return list(upstream.raw[-1]["resume"])


async def test_an_interrupt_is_asked_behind_a_checkpoint(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(SEND, before=PROPOSAL)
    _, [request] = await waiting(upstream, ctx)
    assert request == PermissionRequest(
        "1:i",
        "Send it?",
        "send",
        {
            "reason": "tool_call",
            "toolCallId": "c",
            "arguments": {"to": "a@example.com"},
            "responseSchema": APPROVAL,
        },
        None,
    )


async def test_a_message_that_had_no_end_has_one_before_the_wait(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(SEND, before=PROPOSAL[:3])
    found = await outputs(upstream, ctx)
    assert found[:3] == [TextDelta("I would "), TextDelta("send it."), MessageEnd()]


@pytest.mark.parametrize(
    ("decision", "entry"),
    [
        (ALLOWED, {"interruptId": "i", "status": "resolved", "payload": {"approved": True}}),
        (REJECTED, {"interruptId": "i", "status": "resolved", "payload": {"approved": False}}),
        (
            Decision(Verdict.REJECTED, "too late"),
            {"interruptId": "i", "status": "resolved", "payload": {"approved": False, "note": "too late"}},
        ),
        (EXPIRED, {"interruptId": "i", "status": "cancelled"}),
    ],
)
async def test_a_decision_goes_back_as_the_answer_to_its_interrupt(
    upstream: Upstream, ctx: Context, decision: Decision, entry: dict[str, Any]
) -> None:
    upstream.asks(SEND, before=PROPOSAL)
    after, _ = await waiting(upstream, ctx)
    assert await resumed(upstream, after, i=decision) == [entry]


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        ({"type": "boolean"}, True),
        ({"type": "object", "additionalProperties": False}, {"approved": True}),
        ({"additionalProperties": False, "properties": {"note": {}}}, {"approved": True, "note": "go"}),
        (None, {"approved": True, "note": "go"}),
    ],
)
async def test_an_answer_has_the_form_that_its_interrupt_wants(
    upstream: Upstream, ctx: Context, schema: dict[str, Any] | None, payload: Any
) -> None:
    upstream.asks(Interrupt(id="i", reason="confirmation", response_schema=schema))
    after, _ = await waiting(upstream, ctx)
    [entry] = await resumed(upstream, after, i=Decision(Verdict.ALLOWED, "go"))
    assert entry["payload"] == payload


async def test_the_endpoint_gets_back_what_it_said_and_its_state(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(SEND, before=PROPOSAL)
    after, _ = await waiting(upstream, ctx)
    await resumed(upstream, after, i=ALLOWED)
    sent = upstream.raw[1]
    assert (sent["threadId"], sent["runId"], sent["state"]) == ("THREAD", "RUN-2", {"step": 1})
    function = {"name": "send", "arguments": '{"to":"a@example.com"}'}
    assert sent["messages"] == [
        {"id": "M3", "role": "user", "content": "Hello?"},
        {
            "id": "m",
            "role": "assistant",
            "content": "I would send it.",
            "toolCalls": [{"id": "c", "type": "function", "function": function}],
        },
    ]


async def test_a_snapshot_of_the_messages_takes_the_place_of_all_of_them(upstream: Upstream, ctx: Context) -> None:
    kept: list[core.Message] = [
        core.UserMessage(id="u", content="Hello?"),
        core.ReasoningMessage(id="r", content="hm", encrypted_value="opaque"),
    ]
    upstream.asks(SEND, before=(*PROPOSAL, core.MessagesSnapshotEvent(messages=kept)))
    after, _ = await waiting(upstream, ctx)
    await resumed(upstream, after, i=ALLOWED)
    assert upstream.raw[1]["messages"] == [
        {"id": "u", "role": "user", "content": "Hello?"},
        {"id": "r", "role": "reasoning", "content": "hm", "encryptedValue": "opaque"},
    ]


async def test_the_call_that_was_asked_about_is_completed_after_the_wait(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(SEND, before=PROPOSAL)
    after, _ = await waiting(upstream, ctx)
    again = PROPOSAL[4:7]  # some make it once more
    upstream.says(*again, core.ToolCallResultEvent(message_id="t", tool_call_id="c", content="sent"))
    found = await outputs(upstream, replace(after, decisions={"1:i": ALLOWED}))
    assert found[:-1] == [ToolCompleted("c", "sent")]


async def test_several_interrupts_are_several_requests_answered_in_one_resume(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(*(Interrupt(id=name, reason=f"why {name}") for name in "abc"))
    after, requests = await waiting(upstream, ctx)
    assert [(request.id, request.title) for request in requests] == [
        ("1:a", "why a"),
        ("1:b", "why b"),
        ("1:c", "why c"),
    ]
    entries = await resumed(upstream, after, a=ALLOWED, b=REJECTED, c=EXPIRED)
    assert [(entry["interruptId"], entry["status"], entry.get("payload")) for entry in entries] == [
        ("a", "resolved", {"approved": True}),
        ("b", "resolved", {"approved": False}),
        ("c", "cancelled", None),
    ]


async def test_a_second_wait_may_use_the_same_ids_and_is_another_question(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(SEND, before=PROPOSAL)
    first, _ = await waiting(upstream, ctx)
    upstream.asks(Interrupt(id="i", reason="again"))
    second, [request] = await waiting(upstream, replace(first, decisions={"1:i": ALLOWED}))
    assert request.id == "2:i"
    upstream.says(core.ToolCallResultEvent(message_id="t", tool_call_id="c", content="sent"))
    found = await outputs(upstream, replace(second, decisions={"1:i": ALLOWED, "2:i": REJECTED}))
    assert found[0] == ToolCompleted("c", "sent")
    assert [asked.run_id for asked in upstream.asked] == ["RUN", "RUN-2", "RUN-3"]
    assert upstream.raw[2]["resume"] == [
        {"interruptId": "i", "status": "resolved", "payload": {"approved": False}},
    ]


async def test_a_worker_that_is_lost_before_it_waits_asks_again_and_calls_nobody(
    upstream: Upstream, ctx: Context
) -> None:
    upstream.asks(SEND, Interrupt(id="j", reason="too"))
    after, requests = await waiting(upstream, ctx)
    assert await outputs(upstream, replace(after, attempt=2)) == requests
    assert await outputs(upstream, replace(after, attempt=2, decisions={"1:i": ALLOWED})) == requests[1:]
    assert len(upstream.asked) == 1


async def test_an_attempt_after_the_wait_is_the_same_request_again(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(SEND, before=PROPOSAL)
    after, _ = await waiting(upstream, ctx)
    await resumed(upstream, after, i=ALLOWED)
    await resumed(upstream, replace(after, attempt=2), i=ALLOWED)
    assert upstream.raw[1] == upstream.raw[2]


@pytest.mark.parametrize("zone", [UTC, None])
async def test_an_interrupt_expires_when_it_says(upstream: Upstream, ctx: Context, zone: tzinfo | None) -> None:
    """A time without a zone is taken for UTC."""
    at = (datetime.now(UTC) + timedelta(hours=10)).replace(tzinfo=zone)
    upstream.asks(Interrupt(id="i", reason="soon", expires_at=at.isoformat()))
    _, [request] = await waiting(upstream, ctx)
    assert request.expires_in == pytest.approx(36_000, abs=600)
    upstream.asks(Interrupt(id="i", reason="soon", expires_at=at.isoformat()))
    _, [request] = await waiting(upstream, replace(ctx, ahead=timedelta(hours=1)))  # this machine's clock is late
    assert request.expires_in == pytest.approx(32_400, abs=600)


async def test_an_interrupt_past_its_time_is_asked_and_expires_at_once(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(Interrupt(id="i", reason="soon", expires_at="2020-01-01T00:00:00Z"))
    _, [request] = await waiting(upstream, ctx)
    assert request.expires_in == 1


async def test_an_interrupt_that_never_ends_waits_as_long_as_a_request_may(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(Interrupt(id="i", reason="once", expires_at="9999-12-31T23:59:59Z"))
    _, [request] = await waiting(upstream, ctx)
    assert request.expires_in == 1e9


async def test_an_expiry_that_is_no_time_is_none(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(Interrupt(id="i", reason="", message="x" * 1_000, expires_at="tomorrow"))
    _, [request] = await waiting(upstream, ctx)
    assert request.expires_in is None
    assert (len(request.title), request.title[-1]) == (500, "…")


@pytest.mark.parametrize(
    "interrupts",
    [
        [Interrupt(id=str(n), reason="r") for n in range(101)],
        [Interrupt(id="i", reason="r"), Interrupt(id="i", reason="s")],
        [Interrupt(id="", reason="r")],
        [Interrupt(id="i" * 201, reason="r")],
    ],
)
async def test_interrupts_that_nobody_could_answer_fail_the_run(
    upstream: Upstream, ctx: Context, interrupts: list[Interrupt]
) -> None:
    upstream.asks(*interrupts)
    assert (await failure(upstream, ctx)).code == "runner.protocol"


async def test_a_run_that_said_too_much_before_it_asks_fails_and_one_with_a_snapshot_does_not(
    upstream: Upstream, ctx: Context
) -> None:
    much = [core.TextMessageContentEvent(message_id="m", delta="x" * 100_000) for _ in range(5)]
    upstream.asks(SEND, before=(core.TextMessageStartEvent(message_id="m"), *much))
    assert "said too much" in (await failure(upstream, ctx)).message
    snapshot = core.MessagesSnapshotEvent(messages=[])
    upstream.asks(SEND, before=(core.TextMessageStartEvent(message_id="m"), *much, snapshot))
    await waiting(upstream, ctx)


async def test_what_was_said_before_one_wait_counts_for_the_next(upstream: Upstream, ctx: Context) -> None:
    half = core.TextMessageChunkEvent(message_id="m", delta="x" * 250_000)
    upstream.asks(SEND, before=(half,))
    after, _ = await waiting(upstream, ctx)
    upstream.asks(SEND, before=(half,))
    assert "said too much" in (await failure(upstream, replace(after, decisions={"1:i": ALLOWED}))).message


async def test_a_checkpoint_of_something_else_fails_the_run(upstream: Upstream, ctx: Context) -> None:
    error = await failure(upstream, replace(ctx, state={"step": 7}))
    assert error.code == "runner.failed"
    assert not upstream.asked
