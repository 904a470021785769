"""What an AG-UI endpoint streams, as outputs of a run; and what it is asked with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ag_ui import core
from ag_ui.core import BaseEvent
from structlog.testing import capture_logs

from tests.runners.agui import TOKEN, Upstream, failure, outputs
from tests.runners.conftest import NOON
from worker.runners import (
    Checkpoint,
    Context,
    Custom,
    Message,
    MessageEnd,
    TextDelta,
    ThinkingDelta,
    ToolCompleted,
    ToolStarted,
    Usage,
)
from worker.runners.outputs import TOKENS_LIMIT, Output


def without_checkpoint(found: list[Output]) -> list[Output]:
    assert isinstance(found[-1], Checkpoint)
    return found[:-1]


def text(message: str, *deltas: str, role: Any = None) -> list[BaseEvent]:
    return [
        core.TextMessageStartEvent(message_id=message, role=role),
        *(core.TextMessageContentEvent(message_id=message, delta=delta) for delta in deltas),
        core.TextMessageEndEvent(message_id=message),
    ]


async def test_text_comes_in_deltas_and_its_end_ends_the_message(upstream: Upstream, ctx: Context) -> None:
    upstream.says(*text("one", "Hel", "", "lo"), *text("two", "Bye"))
    assert without_checkpoint(await outputs(upstream, ctx)) == [
        TextDelta("Hel"),
        TextDelta("lo"),
        MessageEnd(),
        TextDelta("Bye"),
        MessageEnd(),
    ]


async def test_two_messages_spoken_at_once_do_not_run_into_each_other(upstream: Upstream, ctx: Context) -> None:
    start, say, end = core.TextMessageStartEvent, core.TextMessageContentEvent, core.TextMessageEndEvent
    upstream.says(
        start(message_id="a"),
        start(message_id="b"),
        say(message_id="a", delta="A1"),
        say(message_id="b", delta="B1"),
        end(message_id="a"),
        say(message_id="b", delta="B2"),
        end(message_id="b"),
    )
    assert without_checkpoint(await outputs(upstream, ctx)) == [
        TextDelta("A1"),
        MessageEnd(),
        TextDelta("B1"),
        TextDelta("B2"),
        MessageEnd(),
    ]


async def test_what_the_endpoint_repeats_of_the_user_is_not_said_again(upstream: Upstream, ctx: Context) -> None:
    upstream.says(*text("echo", "Hello?", role="user"), *text("answer", "Yes."))
    assert without_checkpoint(await outputs(upstream, ctx)) == [TextDelta("Yes."), MessageEnd()]


async def test_chunks_are_one_message_until_something_else_is_said(upstream: Upstream, ctx: Context) -> None:
    chunk = core.TextMessageChunkEvent
    upstream.says(
        chunk(message_id="a", delta="one "),
        core.StateSnapshotEvent(snapshot={}),
        chunk(delta="message"),
        core.ToolCallChunkEvent(tool_call_id="c", tool_call_name="look", delta='{"at":'),
        core.ToolCallChunkEvent(delta='"this"}'),
        chunk(message_id="b", delta="another"),
    )
    assert without_checkpoint(await outputs(upstream, ctx)) == [
        TextDelta("one "),
        TextDelta("message"),
        MessageEnd(),
        ToolStarted("c", "look", {"at": "this"}),
        TextDelta("another"),
        MessageEnd(),
        ToolCompleted("c"),
    ]


async def test_reasoning_is_thinking_under_its_old_names_too(upstream: Upstream, ctx: Context) -> None:
    upstream.says(
        core.ReasoningStartEvent(message_id="r"),
        core.ReasoningMessageStartEvent(message_id="r"),
        core.ReasoningMessageContentEvent(message_id="r", delta="hm"),
        core.ReasoningMessageEndEvent(message_id="r"),
        core.ReasoningMessageChunkEvent(message_id="s", delta="so"),
        core.ReasoningEndEvent(message_id="r"),
    )
    assert without_checkpoint(await outputs(upstream, ctx)) == [ThinkingDelta("hm"), ThinkingDelta("so")]
    upstream.sends(
        b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"RUN"}\n\n'
        b'data: {"type":"THINKING_START"}\n\ndata: {"type":"THINKING_TEXT_MESSAGE_START"}\n\n'
        b'data: {"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"old"}\n\n'
        b'data: {"type":"THINKING_TEXT_MESSAGE_END"}\n\ndata: {"type":"THINKING_END"}\n\n'
        b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"RUN"}\n\n'
    )
    with capture_logs() as logs:
        assert without_checkpoint(await outputs(upstream, ctx)) == [ThinkingDelta("old")]
    assert not logs


def call(id_: str, name: str, *pieces: str) -> list[BaseEvent]:
    return [
        core.ToolCallStartEvent(tool_call_id=id_, tool_call_name=name),
        *(core.ToolCallArgsEvent(tool_call_id=id_, delta=piece) for piece in pieces),
        core.ToolCallEndEvent(tool_call_id=id_),
    ]


async def test_a_tool_starts_once_its_arguments_are_whole(upstream: Upstream, ctx: Context) -> None:
    result = core.ToolCallResultEvent(message_id="m", tool_call_id="c", content="12 C")
    upstream.says(*call("c", "weather", '{"place"', ': "Oslo"}'), result)
    assert without_checkpoint(await outputs(upstream, ctx)) == [
        ToolStarted("c", "weather", {"place": "Oslo"}),
        ToolCompleted("c", "12 C"),
    ]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("", {}),
        ("[1]", {"arguments": [1]}),
        ('{"a', {"arguments": '{"a'}),
        ('{"a":NaN}', {"arguments": '{"a":NaN}'}),
        ("[" * 100 + "]" * 100, {"arguments": "[" * 100 + "]" * 100}),
    ],
)
async def test_arguments_that_are_no_object_are_shown_as_they_are(
    upstream: Upstream, ctx: Context, arguments: str, shown: dict[str, Any]
) -> None:
    upstream.says(*call("c", "odd", arguments))
    assert (await outputs(upstream, ctx))[0] == ToolStarted("c", "odd", shown)


async def test_parts_of_a_result_are_joined_and_media_named(upstream: Upstream, ctx: Context) -> None:
    image = core.ImagePart(source=core.UrlSource(value="https://example.com/a.png"))
    content: list[core.ContentPart] = [core.TextPart(text="seen:"), image]
    upstream.says(*call("c", "look"), core.ToolCallResultEvent(message_id="m", tool_call_id="c", content=content))
    assert (await outputs(upstream, ctx))[1] == ToolCompleted("c", "seen:\n[image]")


async def test_a_result_of_a_call_that_nobody_saw_starts_it_first(upstream: Upstream, ctx: Context) -> None:
    upstream.says(core.ToolCallResultEvent(message_id="m", tool_call_id="c", content="done"))
    assert without_checkpoint(await outputs(upstream, ctx)) == [ToolStarted("c", "unknown"), ToolCompleted("c", "done")]


async def test_a_call_that_is_left_to_a_frontend_fails_and_one_without_a_result_just_ends(
    upstream: Upstream, ctx: Context
) -> None:
    outcome = core.RunFinishedSuccessOutcome(pending_tool_call_ids=["theirs"])
    end = core.RunFinishedEvent(thread_id="THREAD", run_id="RUN", outcome=outcome)
    upstream.says(*call("theirs", "confirm"), *call("quiet", "log"), end, finish=False)
    found = await outputs(upstream, ctx)
    completed = {output.id: output for output in found if isinstance(output, ToolCompleted)}
    assert completed["theirs"].error
    assert completed["quiet"] == ToolCompleted("quiet")


async def test_the_state_is_what_snapshots_and_deltas_make_of_it(upstream: Upstream, ctx: Context) -> None:
    delta: Any = [{"op": "add", "path": "/items/-", "value": 2}, {"op": "move", "from": "/old", "path": "/new"}]
    upstream.says(
        core.StateSnapshotEvent(snapshot={"gone": True}),
        core.StateSnapshotEvent(snapshot={"items": [1], "old": None}),
        core.StateDeltaEvent(delta=delta),
    )
    [checkpoint] = await outputs(upstream, ctx)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.state["state"] == {"items": [1, 2], "new": None}


async def test_a_state_may_be_changed_for_ever_and_grow_to_its_limit(upstream: Upstream, ctx: Context) -> None:
    half = "x" * 300_000
    to_and_fro: list[Any] = [
        {"op": "replace", "path": "/a", "value": half},
        {"op": "replace", "path": "/a", "value": 0},
    ]
    upstream.says(
        core.StateSnapshotEvent(snapshot={"a": 0}), *(core.StateDeltaEvent(delta=to_and_fro) for _ in range(5))
    )
    await outputs(upstream, ctx)
    grown: list[Any] = [{"op": "add", "path": "/b", "value": half}]
    upstream.says(core.StateSnapshotEvent(snapshot={"a": half}), core.StateDeltaEvent(delta=grown))
    assert "512 KiB" in (await failure(upstream, ctx)).message


async def test_arguments_count_until_they_are_whole(upstream: Upstream, ctx: Context) -> None:
    upstream.says(*(event for n in range(3) for event in call(str(n), "write", f'{{"text":"{"x" * 600_000}"}}')))
    started = [output for output in await outputs(upstream, ctx) if isinstance(output, ToolStarted)]
    assert [output.id for output in started] == ["0", "1", "2"]


async def test_a_call_without_an_end_is_started_when_the_run_ends(upstream: Upstream, ctx: Context) -> None:
    upstream.says(*call("c", "look", '{"at":1}')[:-1])
    assert without_checkpoint(await outputs(upstream, ctx)) == [ToolStarted("c", "look", {"at": 1}), ToolCompleted("c")]


async def test_a_time_in_another_form_fails_nobody(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(
        b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"RUN","timestamp":"noon"}\n\n'
        b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"RUN","timestamp":1.5}\n\n'
    )
    assert without_checkpoint(await outputs(upstream, ctx)) == []


async def test_a_run_that_told_everything_is_not_asked_for_again(upstream: Upstream, ctx: Context) -> None:
    upstream.says(*text("one", "Hi"))
    *_, checkpoint = await outputs(upstream, ctx)
    assert isinstance(checkpoint, Checkpoint)
    assert await outputs(upstream, replace(ctx, state=checkpoint.state, attempt=2)) == []
    assert len(upstream.asked) == 1


async def test_the_state_of_another_run_is_handed_on_without_its_end(upstream: Upstream, ctx: Context) -> None:
    upstream.says(core.StateSnapshotEvent(snapshot={"n": 1}))
    *_, checkpoint = await outputs(upstream, ctx)
    assert isinstance(checkpoint, Checkpoint)
    upstream.says(*text("one", "Hi"))
    await outputs(upstream, replace(ctx, run="NEXT", state=checkpoint.state))
    assert (upstream.asked[1].run_id, upstream.asked[1].state) == ("NEXT", {"n": 1})


async def test_what_has_no_place_in_a_run_is_custom(upstream: Upstream, ctx: Context) -> None:
    end = core.RunFinishedEvent(
        thread_id="THREAD",
        run_id="RUN",
        result={"sum": 3},
        usage=[
            core.TokenUsage(input_tokens=5, output_tokens=1),
            core.TokenUsage(input_tokens=2),
            core.TokenUsage(output_tokens=2**40),
        ],
    )
    upstream.says(
        core.CustomEvent(name="n" * 100, value=[1]),
        core.RawEvent(event={"k": 1}, source="lib"),
        core.StepStartedEvent(step_name="plan"),
        core.ActivitySnapshotEvent(message_id="a", activity_type="search", content={"hits": 2}),
        end,
        finish=False,
    )
    assert without_checkpoint(await outputs(upstream, ctx)) == [
        Custom("n" * 64, [1]),
        Custom("agui.raw", {"event": {"k": 1}, "source": "lib"}),
        Custom("agui.step_started", {"stepName": "plan"}),
        Custom("agui.activity_snapshot", {"messageId": "a", "activityType": "search", "content": {"hits": 2}}),
        Usage(7, TOKENS_LIMIT),
        Custom("agui.result", {"sum": 3}),
    ]


AS_THEY_ARE = (
    core.EventType.STEP_FINISHED,
    core.EventType.SUBAGENT_STARTED,
    core.EventType.SUBAGENT_FINISHED,
    core.EventType.SUBAGENT_ERROR,
)


@pytest.mark.parametrize("kind", AS_THEY_ARE, ids=str)
async def test_events_of_others_are_passed_on_as_they_are(
    upstream: Upstream, ctx: Context, kind: core.EventType
) -> None:
    [model] = [
        one
        for one in vars(core).values()
        if isinstance(one, type) and issubclass(one, core.BaseEvent) and one.model_fields["type"].default is kind
    ]
    required = [name for name, field in model.model_fields.items() if field.is_required()]
    event = model(**dict.fromkeys(required, "s"))
    upstream.says(event)
    said = event.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"type"})
    assert required
    assert without_checkpoint(await outputs(upstream, ctx)) == [Custom(f"agui.{kind.value.lower()}", said)]


async def test_unknown_types_are_left_out_and_logged_once(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(
        b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"RUN"}\n\n'
        b'data: {"type":"FROM_THE_FUTURE"}\n\ndata: {"type":"FROM_THE_FUTURE","x":1}\n\ndata: {"type":"a secret"}\n\n'
        b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"RUN"}\n\n'
    )
    with capture_logs() as logs:
        assert without_checkpoint(await outputs(upstream, ctx)) == []
    [line] = logs
    assert (line["run"], line["types"]) == ("RUN", {"FROM_THE_FUTURE": 2, "(others)": 1})


async def test_runs_that_are_repeated_before_ours_are_passed_over(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(
        b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"EARLIER"}\n\n'
        b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"x","delta":"old"}\n\n'
        b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"EARLIER"}\n\n'
        b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"RUN"}\n\n'
        b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"y","delta":"new"}\n\n'
        b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"RUN"}\n\n'
    )
    assert without_checkpoint(await outputs(upstream, ctx)) == [TextDelta("new"), MessageEnd()]


async def test_half_a_character_and_nul_become_the_replacement_character(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(
        b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"RUN"}\n\n'
        b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"y","delta":"a\\ud83d b\\u0000 \\ud83d\\ude00"}\n\n'
        b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"RUN"}\n\n'
    )
    assert (await outputs(upstream, ctx))[0] == TextDelta("a\ufffd b\ufffd \U0001f600")


async def test_the_endpoint_is_asked_with_our_ids_and_the_conversation(upstream: Upstream, ctx: Context) -> None:
    async def history(limit: int) -> Sequence[Message]:
        assert limit == 2
        return [Message("M1", "user", "Hi", NOON), Message("M2", "assistant", "Hi!", NOON)]

    upstream.says()
    config = {
        "history": 2,
        "forwarded_props": {"tone": "dry"},
        "context": [{"description": "where", "value": "Oslo"}],
        "headers": {"X-Client": "us"},
        "token_env": "TOKEN",
    }
    await outputs(upstream, replace(ctx, read_history=history, attempt=3), **config)
    assert upstream.raw == [
        {
            "threadId": "THREAD",
            "runId": "RUN",
            "protocolVersion": "1.0",
            "state": {},
            "messages": [
                {"id": "M1", "role": "user", "content": "Hi"},
                {"id": "M2", "role": "assistant", "content": "Hi!"},
                {"id": "M3", "role": "user", "content": "Hello?"},
            ],
            "tools": [],
            "context": [{"description": "where", "value": "Oslo"}],
            "forwardedProps": {"tone": "dry"},
        }
    ]
    sent = upstream.headers[0]
    assert (sent["Authorization"], sent["X-Client"]) == (f"Bearer {TOKEN}", "us")
    assert (sent["Accept"], sent["Accept-Encoding"]) == ("text/event-stream", "identity")


async def test_without_a_history_only_the_new_messages_go_along(upstream: Upstream, ctx: Context) -> None:
    async def history(_: int) -> Sequence[Message]:
        raise AssertionError("nobody asked for it")

    upstream.says()
    await outputs(upstream, replace(ctx, read_history=history), history=0)
    assert [message.id for message in upstream.asked[0].messages] == ["M3"]
    assert "Authorization" not in upstream.headers[0]
