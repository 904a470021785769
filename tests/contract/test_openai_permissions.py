"""Permissions by OpenAI's own client: each is a function call of the run, and its output the decision."""

from dataclasses import replace
from typing import Any

import openai
import pytest

from shared import ids
from shared.settings import Settings
from tests.agents import Stage
from tests.contract.openai_client import call, refusal, said
from tests.service import Client, running_api
from tests.watch import until

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]


@pytest.fixture
async def client(stage: Stage) -> Client:
    return stage.client


async def asking(stage: Stage, threads: Any, function: str, text: str = "hello") -> tuple[str, Any]:
    """A thread with a run that waits for permissions."""
    await stage.become(function)
    thread = await threads.create(messages=[{"role": "user", "content": text}])
    run = await threads.runs.create_and_poll(thread_id=thread.id, assistant_id=stage.client.agent)
    assert run.status == "requires_action"
    return thread.id, run


def outputs(run: Any, *words: str) -> list[dict[str, str]]:
    """An output for each call of a run."""
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [{"tool_call_id": call.id, "output": word} for call, word in zip(calls, words, strict=True)]


async def test_an_output_is_read_as_strictly_as_a_body(stage: Stage, threads: Any) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    (first, _) = run.required_action.submit_tool_outputs.tool_calls
    path = f"/v1/threads/{thread}/runs/{run.id}/submit_tool_outputs"
    for output in (
        '{"decision":"deny","decision":"allow"}',
        '{"decision":"allow","note":"\\u0000"}',
        "{",
        '{"decision":1}',
    ):
        body = {"tool_outputs": [{"tool_call_id": first.id, "output": output}]}
        assert refusal(await call(stage.client, "POST", path, body))[:2] == (400, "tool_outputs.0.output")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ('{"decision": "allow"}', "a=allowed b=allowed"),
        ("allow", "a=allowed b=allowed"),
        ('{"decision":"deny"}', "a=rejected b=rejected"),
        (' "deny" ', "a=rejected b=rejected"),
    ],
)
async def test_each_open_permission_is_a_call_and_its_output_the_decision(
    stage: Stage, threads: Any, output: str, words: str
) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    calls = run.required_action.submit_tool_outputs.tool_calls
    assert [(call.type, call.function.name) for call in calls] == [("function", "request_permission")] * 2
    assert [call.function.arguments for call in calls] == [
        '{"title":"First?","tool":"t","input":{"n":1}}',
        '{"title":"Second?","tool":null,"input":null}',
    ]
    again = await threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread, tool_outputs=outputs(run, output, output)
    )
    assert [call.function.arguments for call in again.required_action.submit_tool_outputs.tool_calls] == [
        '{"title":"Third?","tool":null,"input":null}'
    ]
    done = await threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread, tool_outputs=outputs(again, "allow")
    )
    assert (done.status, done.required_action) == ("completed", None)
    assert (await said(threads, thread))[-1][1].startswith(f"{words} c=allowed")


async def test_what_is_decided_of_some_leaves_the_others_open(stage: Stage, threads: Any) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    first, second = outputs(run, "allow", "deny")
    left = await threads.runs.submit_tool_outputs(run.id, thread_id=thread, tool_outputs=[second])
    assert left.status == "requires_action"
    assert [call.id for call in left.required_action.submit_tool_outputs.tool_calls] == [first["tool_call_id"]]
    with pytest.raises(openai.BadRequestError) as refused:
        await threads.runs.submit_tool_outputs(run.id, thread_id=thread, tool_outputs=[second])
    assert refused.value.param == "tool_outputs.0.tool_call_id"


async def test_an_output_is_refused_by_what_is_wrong_in_it(stage: Stage, threads: Any, client: Client) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    first, second = outputs(run, "allow", "allow")
    path = f"/v1/threads/{thread}/runs/{run.id}/submit_tool_outputs"
    for given, param in (
        ([], "tool_outputs"),
        ([first, first], "tool_outputs.1.tool_call_id"),
        ([first, first | {"tool_call_id": first["tool_call_id"].lower()}], "tool_outputs.1.tool_call_id"),
        ([first, second | {"tool_call_id": ids.mint()}], "tool_outputs.1.tool_call_id"),
        ([first, second | {"tool_call_id": "call_1"}], "tool_outputs.1.tool_call_id"),
        ([first, {"tool_call_id": second["tool_call_id"]}], "tool_outputs.1.output"),
        *(
            ([first, second | {"output": word}], "tool_outputs.1.output")
            for word in (
                "",
                "yes",
                "Allow it",
                "{}",
                '{"decision": "maybe"}',
                '{"decision": ["allow"]}',
                "{",
                '"',
                "[" * 9,
            )
        ),
    ):
        reply = await call(client, "POST", path, {"tool_outputs": given})
        assert (given, *refusal(reply)[:2]) == (given, 400, param)
    assert (await threads.runs.retrieve(run.id, thread_id=thread)).required_action == run.required_action


async def test_a_run_that_waits_is_cancelled_with_its_calls(stage: Stage, threads: Any) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    gone = await threads.runs.cancel(run.id, thread_id=thread)
    assert (gone.status, gone.required_action) == ("cancelled", None)


async def test_what_is_decided_or_cancelled_and_not_applied_yet_is_not_asked_for_again(
    stage: Stage, threads: Any, client: Client, settings: Settings
) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    path = f"/v1/threads/{thread}/runs/{run.id}"
    given = {"tool_outputs": outputs(run, "allow", "allow")}
    async with running_api(settings.model_copy(update={"wait_limit": 0.2})) as url:
        hasty = replace(client, url=url)
        await stage.service.pool.execute("update partitions set paused = true")
        decided = (await call(hasty, "POST", f"{path}/submit_tool_outputs", given)).json
        assert (decided["status"], decided["required_action"]) == ("queued", None)
        assert (await call(hasty, "POST", f"{path}/cancel")).json["status"] == "cancelling"
        assert (await call(hasty, "GET", path)).json["status"] == "requires_action"
        await stage.service.pool.execute("update partitions set paused = false")

    async def cancelled() -> bool:
        return bool((await call(client, "GET", path)).json["status"] == "cancelled")

    await until(cancelled)
