"""The checker of users: what they asked for and heard against the rows after quiet. Pure functions.

What must hold: each message that was answered for is in its thread once, any other at most once, in the order of time;
each is answered by one run; a run that nobody interrupted said exactly what its agent says, any other a beginning;
permissions are as they were decided; what was read of a log was always all of it so far; each dialect tells the same.
Native batches are judged by `tests.faults.checker`, rows alone by `executions.rows`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.faults.checker import Sent, check_spans
from tests.faults.executions import phases, rows
from tests.faults.executions.answers import ASKED
from tests.faults.executions.phases import Stop
from tests.faults.executions.readers import Copy, check_copy
from tests.faults.executions.rows import Event, Rows, Run, Said
from tests.faults.executions.stage import TERMINAL
from tests.faults.executions.talks import ATTEMPTS
from tests.faults.history import Request
from tests.faults.users.calls import Act, Call, is_open, is_verdict
from tests.faults.users.told import heard, run_of, streams
from tests.faults.violations import Kind, Violation

DENIED = "I did not answer: rejected."
Row = TypeVar("Row", Said, Event)
Lines = Sequence[tuple[str, str]]  # role, text


@dataclass(frozen=True, slots=True)
class History:
    """What users know. `agents`: thread -> the agent that answers there; `lists`: what each dialect lists of one."""

    calls: Sequence[Call] = ()
    requests: Sequence[Request] = ()
    stops: Sequence[Stop] = ()
    copies: Sequence[Copy] = ()
    agents: Mapping[str, str] | None = None
    lists: Sequence[tuple[str, str, Lines]] = ()  # dialect, thread, its messages


def check(history: History, found: Rows) -> list[Violation]:
    agents = history.agents or {}
    return [
        *check_answers(history.calls),
        *check_said(history, found.said),
        *check_order(history, found),
        *check_runs(history.calls, found),
        *check_texts(found, agents),
        *check_heard(history.calls, found),
        *check_decisions(history, found),
        *check_cancels(history.calls, found.runs),
        *check_copies(history.copies, found.events),
        *check_lists(history.lists, found),
        *(Violation(Kind.UNEQUAL, "-", fault) for fault in phases.check_answers(history.stops, found)),
        *(Violation(Kind.INCONSISTENT, "-", fault) for fault in rows.check(found)),
    ]


def check_answers(calls: Sequence[Call]) -> Iterator[Violation]:
    """What is done, silence, not now with the time to come again, and what its dialect says as things stand."""
    for call in calls:
        for reply in call.replies:
            good = reply.acknowledged or is_open(reply) or is_verdict(reply) or reply.status in call.expected
            if not good or (reply.status == 503 and reply.retry_after is None):
                what = f"{call.dialect} {call.act} {call.marker}: {reply.status} {reply.body}"
                yield Violation(Kind.REFUSED, call.thread, what)


def check_said(history: History, said: Sequence[Said]) -> Iterator[Violation]:
    places = defaultdict[str, list[str]](list)
    for message in said:
        places[message.text].append(message.thread)
    known = set[str]()
    for call in history.calls:
        if call.text:
            known.add(call.text)
            yield from _check_once(call, places[call.text])
    known |= {event["text"] for request in history.requests for event in request.events if "text" in event}
    for message in said:
        if message.text not in known:
            yield Violation(Kind.UNASKED, message.thread, f"nobody said {message.text!r}")


def _check_once(call: Call, places: Sequence[str]) -> Iterator[Violation]:
    if len(places) > 1:
        yield Violation(Kind.DUPLICATED, call.thread, f"{call.marker} is said {len(places)} times")
    if call.has_happened and not places:
        yield Violation(Kind.LOST, call.thread, f"{call.marker} was answered and is not in its thread")
    if call.refused and places and not call.has_happened:
        yield Violation(Kind.UNASKED, call.thread, f"{call.marker} was refused and is in its thread")
    if any(place != call.thread for place in places):
        yield Violation(Kind.UNASKED, call.thread, f"{call.marker} is in another thread: {places}")


def check_order(history: History, found: Rows) -> Iterator[Violation]:
    """In each thread messages are numbered in real-time order; their times, and the log, are in that order, too."""
    sent: dict[str, Sent] = {call.text: call for call in history.calls if call.text}
    sent |= {event["text"]: one for one in history.requests for event in one.events if "text" in event}
    logs = defaultdict[str, list[str | None]](list)
    for event in found.events:
        if event.type == "user.message":
            logs[event.thread].append(event.content)
    for thread, own in _by_thread(found.said).items():
        spans = [(f"{m.num:020}", f"{m.num:020}", sent[m.text]) for m in own if m.text in sent]
        yield from check_spans(thread, spans)
        times = [message.created_at for message in own]
        if times != sorted(times):
            yield Violation(Kind.INCONSISTENT, thread, "has messages whose times run backwards")
        if logs[thread] != [message.text for message in own]:
            yield Violation(Kind.INCONSISTENT, thread, "has messages in another order than its log, or others")


def check_runs(calls: Sequence[Call], found: Rows) -> Iterator[Violation]:
    """Each run that was asked for is there once; each message that one was asked for behind is answered by one."""
    runs = {run.id: run for run in found.runs}
    answered = Counter(message for run in found.runs for message in run.input)
    for message, times in answered.items():
        if times > 1:
            yield Violation(Kind.DUPLICATED, "-", f"message {message} is answered by {times} runs")
    asked = [call for call in calls if call.act is Act.RUN]
    for call in asked:
        if call.run is not None and (call.run not in runs or runs[call.run].thread != call.thread):
            yield Violation(Kind.LOST, call.thread, f"run {call.run} of {call.marker} is not there")
    last = {call.thread: max((c.began for c in asked if c.thread == call.thread and c.has_happened), default=0.0)
            for call in asked}  # fmt: skip
    texts = {message.text: message.id for message in found.said}
    for call in calls:
        due = call.answered < last.get(call.thread, 0.0) or (call.act is Act.RUN and call.has_happened)
        if call.text and due and texts.get(call.text) not in answered:
            yield Violation(Kind.LOST, call.thread, f"{call.marker} is answered by no run")
    yield from _check_number(asked, found.runs)


def _check_number(asked: Sequence[Call], runs: Sequence[Run]) -> Iterator[Violation]:
    """No thread has more runs than were asked for in it, and no two calls have one run."""
    there, sent = Counter(run.thread for run in runs), Counter(call.thread for call in asked)
    for thread, number in sent.items():
        if there[thread] > number:
            yield Violation(Kind.DUPLICATED, thread, f"has {there[thread]} runs, {number} were asked for")
    for run, calls in Counter(call.run for call in asked if call.run is not None).items():
        if calls > 1:
            yield Violation(Kind.LOST, "-", f"{calls} calls were answered with run {run}")


def check_texts(found: Rows, agents: Mapping[str, str]) -> Iterator[Violation]:
    logs, texts = found.logs(), asked_of(found, agents)
    denied = {request.run for request in found.requests if request.state == "rejected"}
    for run in found.runs:
        expected = ASKED + DENIED if run.id in denied else phases.whole(*texts[run.id])
        said = rows.spoken(logs[run.id])
        if not (said == expected if run.status == "completed" else expected.startswith(said)):
            yield Violation(Kind.GARBLED, run.thread, f"run {run.id} ({run.status}): {said!r}, expected {expected!r}")
        lost = run.error == "runtime.lost" and run.attempt == ATTEMPTS
        if run.status in TERMINAL and run.status not in ("completed", "cancelled") and not lost:
            yield Violation(Kind.INCONSISTENT, run.thread, f"run {run.id} ended {run.status} ({run.error})")


def asked_of(found: Rows, agents: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Run -> its agent, and all that it answers."""
    texts = {message.id: message.text for message in found.said}
    return {run.id: (agents[run.thread], "\n".join(texts.get(one, "") for one in run.input)) for run in found.runs}


def check_heard(calls: Sequence[Call], found: Rows) -> Iterator[Violation]:
    """What came of a stream is what the run said, from its beginning or from a decision on."""
    logs = found.logs()
    for call in calls:
        for frames in streams(call):
            run = call.run or run_of(frames)
            said, text = rows.spoken(logs[run]), heard(frames)
            if run is not None and not (text in said if call.act is Act.DECISION else said.startswith(text)):
                what = f"a stream of {call.marker} told {text!r} of run {run}, which said {said!r}"
                yield Violation(Kind.GARBLED, call.thread, what)


def check_decisions(history: History, found: Rows) -> Iterator[Violation]:
    """A decision that was answered as done is what became of its request."""
    states = {request.id: request.state for request in found.requests}
    for thread, request, allow in decided(history):
        wanted = "allowed" if allow else "rejected"
        if states.get(request) != wanted:
            yield Violation(Kind.LOST, thread, f"request {request} was {wanted} and is {states.get(request)}")


def decided(history: History) -> Iterator[tuple[str, str, bool]]:
    """Thread, request and word of each decision that was answered as done."""
    for call in history.calls:
        if call.act is Act.DECISION and call.acknowledged and call.known:
            yield call.thread, call.request, bool(call.allow)
    for one in history.requests:
        event = one.events[0]
        if event["type"] == "permission_decision" and any(not outcome["warnings"] for outcome in one.outcomes):
            yield one.thread, event["requestId"], event["decision"] == "allow_once"


def check_cancels(calls: Sequence[Call], runs: Sequence[Run]) -> Iterator[Violation]:
    status = {run.id: run.status for run in runs}
    for call in calls:
        if call.act is Act.INTERRUPT and call.acknowledged and status.get(call.run or "") != "cancelled":
            yield Violation(Kind.LOST, call.thread, f"run {call.run} was cancelled and is {status.get(call.run or '')}")


def check_copies(copies: Sequence[Copy], events: Sequence[Event]) -> Iterator[Violation]:
    logs = _by_thread(events)
    for copy in copies:
        for fault in (*copy.faults, *check_copy(copy, logs.get(copy.thread, ()))):
            yield Violation(Kind.GARBLED, copy.thread, fault)


def check_lists(lists: Sequence[tuple[str, str, Lines]], found: Rows) -> Iterator[Violation]:
    """Each dialect lists exactly the messages that there are, in the order of their numbers."""
    kept = defaultdict[str, list[tuple[int, str, str]]](list)
    for said in found.said:
        kept[said.thread].append((said.num, "user", said.text))
    for message in found.messages:
        kept[message.thread].append((message.num, "assistant", message.text))
    for dialect, thread, lines in lists:
        expected = [(role, text) for _, role, text in sorted(kept[thread])]
        if list(lines) != expected:
            yield Violation(Kind.GARBLED, thread, f"{dialect} lists {lines}, there are {expected}")


def _by_thread(found: Sequence[Row]) -> dict[str, list[Row]]:
    grouped = defaultdict[str, list[Row]](list)
    for row in found:
        grouped[row.thread].append(row)
    return grouped
