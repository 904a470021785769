"""Decisions and interrupts judged: what was answered as done was done, and what was refused, or not asked for, was not.

Pure functions.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.faults.executions.rows import Rows, Run
from tests.faults.history import Document
from tests.faults.users.calls import Act, Call, is_pending
from tests.faults.users.history import History
from tests.faults.violations import Kind, Violation

DECIDED = frozenset({"allowed", "rejected"})


def check_decisions(history: History, found: Rows) -> Iterator[Violation]:
    """A decision that was answered as done is what became of its request; one that was refused is not, where it was the
    only one.
    """
    states = {request.id: request.state for request in found.requests}
    for thread, request, allow in decided(history):
        wanted = "allowed" if allow else "rejected"
        if states.get(request) != wanted:
            yield Violation(Kind.LOST, thread, f"request {request} was {wanted} and is {states.get(request)}")
    made = _made(history)
    for call in history.calls:
        alone = call.act is Act.DECISION and made[call.request] == 1
        if alone and call.is_refused and states.get(call.request) in DECIDED:
            what = f"{call.marker} was refused, nobody else decided, and {call.request} is {states[call.request]}"
            yield Violation(Kind.UNASKED, call.thread, what)


def decided(history: History) -> Iterator[tuple[str, str, bool]]:
    """Thread, request and word of each decision that was answered as done."""
    for call in history.calls:
        if call.act is Act.DECISION and call.is_done:
            yield call.thread, call.request, bool(call.allow)
    for one in history.requests:
        event = one.events[0]
        if event["type"] == "permission_decision" and any(not outcome["warnings"] for outcome in one.outcomes):
            yield one.thread, event["requestId"], event["decision"] == "allow_once"


def _made(history: History) -> Counter[str]:
    """How many decisions were sent of each request."""
    made = Counter(call.request for call in history.calls if call.act is Act.DECISION)
    for event in (event for one in history.requests for event in one.events):
        if event["type"] == "permission_decision":
            made[str(event["requestId"])] += 1
    return made


def check_cancels(calls: Sequence[Call], runs: Sequence[Run]) -> Iterator[Violation]:
    """A cancel that was answered as done is the state of its run; with a key it is known in the end."""
    status = {run.id: run.status for run in runs}
    for call in (one for one in calls if one.act is Act.INTERRUPT):
        if call.key is not None and call.replies and is_pending(call.last):
            yield Violation(Kind.STUCK, call.thread, f"run {call.run} is being cancelled for whoever asks, even now")
        if has_cancelled(call) and status.get(call.run or "") != "cancelled":
            yield Violation(Kind.LOST, call.thread, f"run {call.run} was cancelled and is {status.get(call.run or '')}")


def has_cancelled(call: Call) -> bool:
    """Whether it was answered as done."""
    return any(reply.acknowledged and not is_pending(reply) for reply in call.replies)


def check_cancelled(history: History, runs: Sequence[Run]) -> Iterator[Violation]:
    """Each run that was cancelled had an interrupt that named it, or hit it; where the answer is not known, one of its
    thread that named none.
    """
    named = {call.run for call in history.calls if call.act is Act.INTERRUPT and not call.is_refused}
    threads = set[str]()
    for one in history.requests:
        for event in one.events:
            if event["type"] != "user_interrupt" or one.refused:
                continue
            if one.outcomes:
                named |= {run for outcome in one.outcomes for run in _hit(outcome)}
            elif "runId" in event:
                named.add(event["runId"])
            else:
                threads.add(one.thread)
    for run in runs:
        if run.status == "cancelled" and run.id not in named and run.thread not in threads:
            yield Violation(Kind.UNASKED, run.thread, f"run {run.id} is cancelled, and nobody interrupted it")


def _hit(outcome: Document) -> Iterator[str]:
    """The runs that interrupts of a batch ended."""
    late = {one["eventIndex"] for one in outcome["warnings"] if one["code"] == "run_already_finished"}
    for n, result in enumerate(outcome["events"]):
        if result["run"] is not None and n not in late:
            yield str(result["run"]["id"])
