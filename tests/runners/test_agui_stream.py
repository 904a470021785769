"""What an AG-UI endpoint streams, as outputs of a run: text, thinking, and what has no place of its own."""

from typing import Any

import pytest
from ag_ui import core
from structlog.testing import capture_logs

from tests.runners.agui import FINISHED, STARTED, Upstream, outputs, text, without_checkpoint
from worker.runners import Context, Custom, MessageEnd, TextDelta, ThinkingDelta, ToolCompleted, ToolStarted, Usage
from worker.runners.outputs import TOKENS_LIMIT


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
        STARTED,
        b'data: {"type":"THINKING_START"}\n\ndata: {"type":"THINKING_TEXT_MESSAGE_START"}\n\n'
        b'data: {"type":"THINKING_TEXT_MESSAGE_CONTENT","delta":"old"}\n\n'
        b'data: {"type":"THINKING_TEXT_MESSAGE_END"}\n\ndata: {"type":"THINKING_END"}\n\n',
        FINISHED,
    )
    with capture_logs() as logs:
        assert without_checkpoint(await outputs(upstream, ctx)) == [ThinkingDelta("old")]
    assert not logs


async def test_a_time_in_another_form_fails_nobody(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(
        b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"RUN","timestamp":"noon"}\n\n'
        b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"RUN","timestamp":1.5}\n\n'
    )
    assert without_checkpoint(await outputs(upstream, ctx)) == []


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
    model: Any  # each class of them takes other fields
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
        STARTED,
        b'data: {"type":"FROM_THE_FUTURE"}\n\ndata: {"type":"FROM_THE_FUTURE","x":1}\n\ndata: {"type":"a secret"}\n\n',
        FINISHED,
    )
    with capture_logs() as logs:
        assert without_checkpoint(await outputs(upstream, ctx)) == []
    [line] = logs
    assert (line["run"], line["types"]) == ("RUN", {"FROM_THE_FUTURE": 2, "(others)": 1})


async def test_runs_that_are_repeated_before_ours_are_passed_over(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(
        b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"EARLIER"}\n\n'
        b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"x","delta":"old"}\n\n'
        b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"EARLIER"}\n\n',
        STARTED,
        b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"y","delta":"new"}\n\n',
        FINISHED,
    )
    assert without_checkpoint(await outputs(upstream, ctx)) == [TextDelta("new"), MessageEnd()]


async def test_half_a_character_and_nul_become_the_replacement_character(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(
        STARTED,
        b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"y","delta":"a\\ud83d b\\u0000 \\ud83d\\ude00"}\n\n',
        FINISHED,
    )
    assert (await outputs(upstream, ctx))[0] == TextDelta("a\ufffd b\ufffd \U0001f600")
