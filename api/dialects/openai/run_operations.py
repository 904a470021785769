"""What the OpenAI dialect offers of runs, as a table."""

from api.dialects.openai import answers, models, run_answers
from api.dialects.openai.operations import PAGE, REPLAYED, TAKES_NONE
from api.dialects.operations import KEY, WAIT, Answer, Operation, Sent

_RUNS = "/v1/threads/{threadId}/runs"
_RUN = f"{_RUNS}/{{runId}}"
_REACHED = ("created", "queued", "in_progress", "requires_action", "completed", "failed", "cancelled", "expired")
_SAID = ("created", "in_progress", "completed", "incomplete")
_OF_RUN = (
    *(Sent(f"thread.run.{status}", run_answers.Run) for status in _REACHED),
    *(Sent(f"thread.message.{status}", answers.ThreadMessage) for status in _SAID),
    Sent("thread.message.delta", answers.MessageDelta),
    Sent("error", answers.Error, "What went wrong on the way: the last event. The run goes on."),
    Sent("done", answers.Done, "The run is over, or asks: the last event."),
)
_STREAMS = "With `stream` true as server-sent events; in silence these have a comment every 15 s."
_KEEPS = "A client that goes away does not stop the run."


def _answered(says: str, *events: Sent) -> tuple[Answer, ...]:
    return (Answer("200", f"{says} {_STREAMS}", run_answers.Run, events=(*events, *_OF_RUN), headers=REPLAYED),)


OF_RUNS = (
    Operation(
        *("post", "/v1/threads/runs", "Runs", "Create a thread and run it"),
        _answered("The run, whose `thread_id` is the thread.", Sent("thread.created", answers.Thread)),
        models.NewThreadAndRun,
        (KEY, WAIT),
        _KEEPS,
        "The agent is not published.",
        {"assistant_id": "$AGENT", "thread": {"messages": [{"role": "user", "content": "Hello"}]}, "stream": True},
    ),
    Operation(
        *("post", _RUNS, "Runs", "Run a thread"),
        _answered("The run."),
        models.NewRun,
        (KEY, WAIT),
        f"It answers all messages of the user that no run has answered yet. {_KEEPS}",
        "A run is active, or the thread has another agent; nothing is added then. The agent is not published. "
        f"{TAKES_NONE}",
        {"assistant_id": "$AGENT", "additional_messages": [{"role": "user", "content": "And what then?"}]},
    ),
    Operation(
        *("get", _RUNS, "Runs", "List the runs of a thread"),
        (Answer("200", "A page.", run_answers.RunList),),
        parameters=PAGE,
        query="?limit=20",
    ),
    Operation(
        *("get", _RUN, "Runs", "Read a run"),
        (Answer("200", "The run.", run_answers.Run, headers=("openai-poll-after-ms",)),),
    ),
    Operation(
        *("post", f"{_RUN}/cancel", "Runs", "Cancel a run"),
        (Answer("200", "The run; `cancelling` where it is not applied yet.", run_answers.Run, headers=REPLAYED),),
        parameters=(KEY, WAIT),
        conflict=f"The run is over. {TAKES_NONE}",
    ),
    Operation(
        *("post", f"{_RUN}/submit_tool_outputs", "Runs", "Decide what a run asks for"),
        _answered("The run."),
        models.ToolOutputs,
        (KEY, WAIT),
        'An output is `{"decision": "allow"}` or `{"decision": "deny"}`, or the word alone. Some calls may be decided '
        "now and others later.",
        f"The run asks for nothing, or not for this. {TAKES_NONE}",
        {"tool_outputs": [{"tool_call_id": "$CALL", "output": "allow"}]},
    ),
)
