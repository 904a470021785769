"""Runs: under way, waiting for a decision, stuck, ended badly, of one thread; one of them with what it says, live.

What is done to a run goes to its thread as a batch, in order (`api.operator`).
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from api.console.pages import Deed, Done, Field, Form, Look, Page, Question, Values
from api.operator import Came, Decision, Operator
from api.operator import Done as Sent
from shared.audit import Actor
from shared.errors import InvalidRequest, NotFound
from shared.inspect import running, search, timeline
from shared.inspect.page import Page as Listed
from shared.inspect.running import WHY, ListedRun
from shared.inspect.runs import PendingRequest, RunDetail, run_detail
from shared.inspect.threads import own_row
from shared.inspect.transcript import Transcript
from shared.models import EXECUTING, Run, RunStatus, Thread

HERE = "/console/runs"
SHOWN = 50  # rows of a page
_LISTS = (
    ("active", "Not over"),
    ("waiting", "Waiting for permission"),
    ("stuck", "Stuck"),
    ("failed", "Failed"),
)
_OPEN = (RunStatus.QUEUED, *sorted(EXECUTING))


async def load_list(look: Look) -> Values:
    chosen = look.text("list") or "active"
    listed = await _listed(look, chosen)
    return {
        "chosen": chosen,
        "lists": _LISTS,
        "statuses": [(status.value, status.value) for status in _OPEN],
        "status": look.text("status"),
        "thread": look.text("thread"),
        "runs": listed.items,
        "listed": listed,
        "why": WHY,
    }


async def load_one(look: Look) -> Values:
    run = await _run(look)
    thread = await own_row(look.db, run.thread)
    return {
        "title": f"Run {run.run.id}",
        "detail": run,
        "run": run.run,
        "thread": thread,
        "names": await search.names(look.db, [thread]),
        **await _output(look, thread, run.run),
    }


async def _output(look: Look, thread: Thread, run: Run) -> dict[str, Any]:
    """What it has said, and where what it says from here on comes from. The live part does not show it."""
    said = await timeline.said(look.db, thread.partition, thread.id, run)
    transcript = Transcript()
    text = transcript.page(said)
    behind = {"after": said[-1].last if said else None, "type": transcript.type, "in": transcript.message}
    query = urlencode({name: value for name, value in behind.items() if value is not None})
    follow = None if run.terminal else f"{HERE}/{thread.id}/{run.id}/output?{query}"
    return {
        "output": text,
        "follow": follow,
        "cut": await timeline.said_more(look.db, thread.partition, thread.id, run, said),
    }


RUNS = Page("runs", "Runs", load_list)
RUN = Page("run", "Run", load_one)


async def _listed(look: Look, chosen: str) -> Listed[ListedRun]:
    db, after = look.db, look.after
    match chosen:
        case "active":
            return await running.active(db, SHOWN, after, _status(look.text("status")))
        case "waiting":
            return await running.waiting(db, SHOWN, after)
        case "stuck":
            return await running.stuck(db, SHOWN, after)
        case "failed":
            return await running.failed(db, SHOWN, after)
        case "thread":
            thread = await own_row(db, look.text("thread"))
            return await running.of_thread(db, thread.partition, thread.id, SHOWN, after)
        case _:
            raise InvalidRequest("`list` is one of active, waiting, stuck, failed, thread.", param="list")


def _status(text: str) -> RunStatus | None:
    if not text:
        return None
    try:
        return RunStatus(text)
    except ValueError as error:
        raise InvalidRequest(f"`status` is one of {', '.join(_OPEN)}.", param="status") from error


async def _run(look: Look) -> RunDetail:
    return await run_detail(look.db, look.params["run"], look.params["thread"])


def _place(look: Look) -> str:
    return f"{HERE}/{look.params['thread']}/{look.params['run']}"


@dataclass(frozen=True, slots=True)
class Doings:
    """What an operator does to runs, through the inbox of this api."""

    operator: Operator

    def interrupt(self) -> Deed:
        async def ask(look: Look) -> Question:
            run = await _run(look)
            says = [run.next_step, "It ends as cancelled at once; what it said so far is kept."]
            if run.place:
                says[1] = "It waits in the queue, and ends as cancelled without having begun."
            return Question(f"Interrupt the run {run.run.id}?", says, "Interrupt", _place(look), "1 run")

        async def do(look: Look, _: Form, actor: Actor) -> Done:
            sent = await self.operator.interrupt(actor, look.params["run"], look.params["thread"])
            return Done(_told(sent, "The run is interrupted."), _place(look))

        return Deed(ask, do, apart=True)

    def retry(self) -> Deed:
        async def ask(look: Look) -> Question:
            run = await _run(look)
            says = ("Its message is answered once more, by a new run at the end of the thread's queue.",)
            return Question(f"Retry the run {run.run.id}?", says, "Retry", _place(look), "1 message", danger=False)

        async def do(look: Look, _: Form, actor: Actor) -> Done:
            sent = await self.operator.retry(actor, look.params["run"], look.params["thread"])
            to = _place(look) if sent.run is None else f"{HERE}/{sent.thread}/{sent.run}"
            return Done(_told(sent, f"A new run retries {look.params['run']}."), to)

        return Deed(ask, do, apart=True)

    def decide(self, decision: Decision) -> Deed:
        word = "Allow" if decision is Decision.ALLOW else "Reject"

        async def ask(look: Look) -> Question:
            request = await _request(look)
            tool = f"The tool: {request.tool_name}." if request.tool_name else "It names no tool."
            note = Field("note", "Note", "area", hint="The runner reads it. It may be empty.")
            says = (f"It asks: {request.title}", tool, "The run goes on when all that it waits for is decided.")
            return Question(
                f"{word} this?", says, word, _place(look), "1 request", (note,), danger=decision is Decision.REJECT
            )

        async def do(look: Look, form: Form, actor: Actor) -> Done:
            note = form.get("note", "").strip() or None
            sent = await self.operator.decide(actor, look.params["request"], decision, note, look.params["thread"])
            text = f"The request is {'allowed' if decision is Decision.ALLOW else 'rejected'}."
            return Done(_told(sent, text), _place(look))

        return Deed(ask, do, apart=True)


def _told(sent: Sent, done: str) -> str:
    match sent.came:
        case Came.LATER:
            return "It is accepted, and not applied yet: a worker will apply it. Don't send it again."
        case Came.BEFORE:
            return f"{done} That was asked before: nothing was added."
        case _:
            return done


async def _request(look: Look) -> PendingRequest:
    """Raises NotFound where it is not open any more."""
    wanted = look.params["request"].upper()
    for request in (await _run(look)).requests:
        if request.id == wanted:
            return request
    raise NotFound("This permission request is not open any more: it was decided, or it expired.")
