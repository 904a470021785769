"""Tool calls that an AG-UI endpoint streams, as tools of a run."""

from typing import Any

import pytest
from ag_ui import core

from tests.runners.agui import Upstream, call, outputs, without_checkpoint
from worker.runners import Context, ToolCompleted, ToolStarted


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


async def test_arguments_count_until_they_are_whole(upstream: Upstream, ctx: Context) -> None:
    upstream.says(*(event for n in range(3) for event in call(str(n), "write", f'{{"text":"{"x" * 600_000}"}}')))
    started = [output for output in await outputs(upstream, ctx) if isinstance(output, ToolStarted)]
    assert [output.id for output in started] == ["0", "1", "2"]


async def test_a_call_without_an_end_is_started_when_the_run_ends(upstream: Upstream, ctx: Context) -> None:
    upstream.says(*call("c", "look", '{"at":1}')[:-1])
    assert without_checkpoint(await outputs(upstream, ctx)) == [ToolStarted("c", "look", {"at": 1}), ToolCompleted("c")]
