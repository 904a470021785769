"""A history of users that is right, for tests to make it wrong: four threads, all dialects, runs told to their end."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.faults.executions.answers import ASKED, DENIED
from tests.faults.executions.phases import Stop
from tests.faults.executions.readers import Copy
from tests.faults.executions.rows import DELTA, Event, Message, Request, Rows, Run, Said, Thread
from tests.faults.history import Document, Reply
from tests.faults.users.calls import Act, Call
from tests.faults.users.checker import check
from tests.faults.users.history import History
from tests.faults.violations import Kind

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def call(dialect: str, act: Act, marker: str, sent: float, thread: str, **fields: Any) -> Call:
    status, body = fields.pop("status", 200), fields.pop("body", {})
    made = Call(dialect, act, "/", {}, "key", thread, marker, **fields)
    made.replies.append(Reply(sent, sent + 0.5, status, body))
    return made


def frames(*frames: tuple[str, Any]) -> Document:
    return {"frames": list(frames)}


def answer(run: str, *texts: str, asks: str = "") -> Document:
    """Cortex' whole answer."""
    content: list[Document] = [{"type": "text", "text": text} for text in texts]
    content += [{"type": "tool_use", "tool_use": {"tool_use_id": asks}}] if asks else []
    return {"content": content, "metadata": {"run_id": run}}


def response(run: str, *texts: str, asks: str = "") -> tuple[str, Document]:
    return ("response", answer(run, *texts, asks=asks))


def failure(code: str) -> tuple[str, Document]:
    """The last words of a stream of Cortex whose run has no answer."""
    return ("error", {"code": "399409", "error_code": code})


def message(thread: str, text: str) -> Document:
    """As OpenAI and AIML answer it."""
    return {"thread_id": thread, "content": [{"text": {"value": text}}]}


def of_run(status: str, run: str, **fields: Any) -> tuple[str, Document]:
    """OpenAI's word for what a run came to."""
    return (f"thread.run.{status}", {"id": run, "object": "thread.run", "status": status, **fields})


def said(text: str) -> list[tuple[str, Document]]:
    """A message as a stream of OpenAI tells it."""
    content = {"content": [{"text": {"value": text}}]}
    return [("thread.message.delta", {"delta": content}), ("thread.message.completed", content)]


def delta(text: str) -> tuple[str, Document]:
    return ("response.text.delta", {"text": text})


# In O two messages are answered by one run, another one is cancelled; in C one run is streamed, and in P one asks, is
# denied, and tells both ways; in S OpenAI streams one that asks and is allowed.
FIRST = call("openai", Act.MESSAGE, "m1-0", 0, "O", text="say m1-0", body=message("O", "say m1-0"))
SECOND = call("aiml", Act.MESSAGE, "m1-1", 1, "O", text="say m1-1", status=201, body=message("O", "say m1-1"))
ANSWERED = call("openai", Act.RUN, "m1-2", 2, "O", run="R1", body=of_run("queued", "R1")[1])
TOLD = frames(delta("say "), delta("m1-3"), ("response.text", {"text": "say m1-3"}), response("R2", "say m1-3"))
STREAMED = call("cortex", Act.RUN, "m1-3", 0, "C", text="say m1-3", run="R2", streamed=True, body=TOLD)
QUESTION = call("cortex", Act.RUN, "m1-4", 0, "P", text="say m1-4", run="R3", body=answer("R3", ASKED, asks="Q"))
LATE = ((409, "readiness_blocked"),)
DENIAL = frames(delta(DENIED), ("response.text", {"text": DENIED}), response("R3", DENIED))
DECIDED = call(
    "cortex",
    Act.DECISION,
    "m1-5",
    1,
    "P",
    run="R3",
    request="Q",
    allow=False,
    expected=LATE,
    streamed=True,
    body=DENIAL,
)
CANCELLED = call("openai", Act.RUN, "m1-6", 3, "O", run="R4", text="say m1-6", body=of_run("queued", "R4")[1])
CANCEL = call(
    "openai",
    Act.INTERRUPT,
    "m1-7",
    4,
    "O",
    run="R4",
    expected=((400, "readiness_blocked"),),
    body=of_run("cancelled", "R4")[1],
)
NEEDED = {"submit_tool_outputs": {"tool_calls": [{"id": "Q5"}]}}
ASKING = call(
    "openai",
    Act.RUN,
    "m1-8",
    0,
    "S",
    text="say m1-8",
    run="R5",
    body=frames(
        of_run("created", "R5"),
        *said(ASKED),
        of_run("requires_action", "R5", required_action=NEEDED),
        ("done", "[DONE]"),
    ),
)
ALLOWED = call(
    "openai",
    Act.DECISION,
    "m1-9",
    1,
    "S",
    run="R5",
    request="Q5",
    allow=True,
    expected=(*CANCEL.expected, (400, "invalid_request")),
    body=frames(of_run("queued", "R5"), *said("say m1-8"), of_run("completed", "R5"), ("done", "[DONE]")),
)
CALLS = (FIRST, SECOND, ANSWERED, STREAMED, QUESTION, DECIDED, CANCELLED, CANCEL, ASKING, ALLOWED)


def _message(thread: str, run: str | None, content: str | None) -> str:
    """A run that asks begins another message behind its question."""
    return f"M{run}" if thread in "CO" or content == ASKED else f"N{run}"


def log(thread: str, *events: tuple[str, str | None, str | None]) -> tuple[Event, ...]:
    return tuple(
        Event(f"{thread}{n}", kind, run, content, _message(thread, run, content) if kind == DELTA else None, thread)
        for n, (kind, run, content) in enumerate(events)
    )


LOG = (
    *log(
        "C",
        ("user.message", "R2", "say m1-3"),
        ("run.started", "R2", "R2"),
        (DELTA, "R2", "say "),
        (DELTA, "R2", "m1-3"),
        ("run.completed", "R2", "R2"),
    ),
    *log(
        "O",
        ("user.message", None, "say m1-0"),
        ("user.message", None, "say m1-1"),
        (DELTA, "R1", "say m1-0\nsay m1-1"),
        ("run.completed", "R1", "R1"),
        ("user.message", "R4", "say m1-6"),
        (DELTA, "R4", "say"),
        ("run.completed", "R4", "R4"),
    ),
    *log(
        "P",
        ("user.message", "R3", "say m1-4"),
        (DELTA, "R3", ASKED),
        ("tool.confirmation.required", "R3", "May it?"),
        (DELTA, "R3", DENIED),
        ("run.completed", "R3", "R3"),
    ),
    *log(
        "S",
        ("user.message", "R5", "say m1-8"),
        (DELTA, "R5", ASKED),
        ("tool.confirmation.required", "R5", "May it?"),
        (DELTA, "R5", "say m1-8"),
        ("run.completed", "R5", "R5"),
    ),
)
ROWS = Rows(
    threads=tuple(Thread(name, "IDLE", 0, None) for name in "COPS"),
    runs=(
        Run("O", "R1", "completed", 1, None, T0, ("m0", "m1")),
        Run("C", "R2", "completed", 1, None, T0, ("m3",)),
        Run("P", "R3", "completed", 1, None, T0, ("m4",)),
        Run("O", "R4", "cancelled", 1, None, T0, ("m6",)),
        Run("S", "R5", "completed", 1, None, T0, ("m8",)),
    ),
    events=LOG,
    messages=(
        Message("MR1", "R1", "say m1-0\nsay m1-1", "completed", "O", 5),
        Message("MR2", "R2", "say m1-3", "completed", "C", 6),
        Message("MR3", "R3", ASKED, "completed", "P", 7),
        Message("MR4", "R4", "say", "incomplete", "O", 9),
        Message("NR3", "R3", DENIED, "completed", "P", 10),
        Message("MR5", "R5", ASKED, "completed", "S", 12),
        Message("NR5", "R5", "say m1-8", "completed", "S", 13),
    ),
    requests=(Request("R3", "rejected", "Q"), Request("R5", "allowed", "Q5")),
    said=(
        Said("O", "m0", 1, "say m1-0", T0),
        Said("O", "m1", 2, "say m1-1", T0),
        Said("C", "m3", 3, "say m1-3", T0),
        Said("P", "m4", 4, "say m1-4", T0),
        Said("O", "m6", 8, "say m1-6", T0),
        Said("S", "m8", 11, "say m1-8", T0),
    ),
)


def entry(event: Event, content: str | None = None) -> Document:
    return {"id": event.id, "type": event.type, "runId": event.run, "content": content or event.content}


def copied(*entries: Document) -> Copy:
    copy = Copy("C")
    for one in entries:
        copy.take(one)
    return copy


# Two live deltas of C; then, folded, both as one entry.
LIVE = [entry(event) for event in LOG[:5]]
FOLDED = [*LIVE[:2], entry(LOG[3], "say m1-3"), LIVE[4]]
LISTED = ("openai", "C", (("user", "say m1-3"), ("assistant", "say m1-3")))
STOP = Stop("R4", T0, {"run": {"id": "R4", "status": "cancelled"}}, ())
HISTORY = History(
    calls=CALLS,
    stops=(STOP,),
    copies=(copied(*LIVE), copied(*FOLDED)),
    agents={"O": "echo", "C": "echo", "P": "approve", "S": "approve"},
    lists=(LISTED,),
)


def found(history: History = HISTORY, rows: Rows = ROWS) -> set[Kind]:
    return {violation.kind for violation in check(history, rows)}


def with_calls(old: Call, *new: Call) -> History:
    return replace(HISTORY, calls=[two for one in CALLS for two in (new if one is old else (one,))])


def again(old: Call, *replies: Reply, **changes: Any) -> Call:
    return replace(old, replies=list(replies) or old.replies, **changes)


def changed(name: str, place: int, **changes: Any) -> Rows:
    rows = list(getattr(ROWS, name))
    rows[place] = replace(rows[place], **changes)
    return replace(ROWS, **{name: tuple(rows)})
