"""The checker of users: what they asked for and heard against the rows after quiet. Pure functions.

What must hold: each message that was answered for is in its thread once, any other at most once, in the order of time;
each is answered by one run; a run that nobody interrupted said exactly what its agent says, any other a beginning;
permissions are as they were decided; what was read of a log was always all of it so far; each dialect tells the same.
Native batches are judged by `tests.faults.checker`, rows alone by `executions.rows`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from tests.faults.checker import Sent, check_known, check_spans
from tests.faults.executions import phases, rows
from tests.faults.executions.answers import ASKED, DENIED
from tests.faults.executions.readers import Copy, check_copy
from tests.faults.executions.rows import Event, Rows, Run, Said
from tests.faults.executions.stage import TERMINAL
from tests.faults.users.calls import Act, Call
from tests.faults.users.deeds import check_cancelled, check_cancels, check_decisions
from tests.faults.users.history import History, Lines
from tests.faults.users.telling import check_told
from tests.faults.violations import Kind, Violation

Row = TypeVar("Row", Said, Event)


def check(history: History, found: Rows) -> list[Violation]:
    agents = history.agents or {}
    return [
        *check_answers(history.calls),
        *check_known(history.requests),
        *check_said(history, found.said),
        *check_order(history, found),
        *check_runs(history.calls, found),
        *check_texts(found, agents),
        *check_told(history.calls, found),
        *check_decisions(history, found),
        *check_cancels(history.calls, found.runs),
        *check_cancelled(history, found.runs),
        *check_copies(history.copies, found.events),
        *check_lists(history.lists, found),
        *(Violation(Kind.UNEQUAL, "-", fault) for fault in phases.check_answers(history.stops, found)),
        *(Violation(Kind.INCONSISTENT, "-", fault) for fault in rows.check(found)),
    ]


def check_answers(calls: Sequence[Call]) -> Iterator[Violation]:
    """What is done, silence, "not now", what became of its run, and what its dialect says as things stand; and who asks
    with a key knows in the end.
    """
    for call in calls:
        for reply in call.replies:
            if not call.may_get(reply):
                what = f"{call.dialect} {call.act} {call.marker}: {reply.status} {reply.body}"
                yield Violation(Kind.REFUSED, call.thread, what)
        if call.key is not None and not call.known:
            what = f"{call.dialect} {call.act} {call.marker} was sent {len(call.replies)} times, and nobody knows"
            yield Violation(Kind.STUCK, call.thread, what)


def check_said(history: History, said: Sequence[Said]) -> Iterator[Violation]:
    places = defaultdict[str, list[str]](list)
    for message in said:
        places[message.text].append(message.thread)
    known = {call.text for call in history.calls}
    for call in history.calls:
        if call.text:
            yield from _check_once(call, places[call.text])
    yield from check_happened(history.calls, said)
    known |= {event["text"] for request in history.requests for event in request.events if "text" in event}
    for message in said:
        if message.text not in known:
            yield Violation(Kind.UNASKED, message.thread, f"nobody said {message.text!r}")


def check_happened(calls: Sequence[Call], said: Sequence[Said]) -> list[Violation]:
    """What was answered for is there."""
    there = {message.text for message in said}
    lost = [call for call in calls if call.has_happened and call.text and call.text not in there]
    return [Violation(Kind.LOST, one.thread, f"{one.marker} was answered and is not in its thread") for one in lost]


def _check_once(call: Call, places: Sequence[str]) -> Iterator[Violation]:
    if len(places) > 1:
        yield Violation(Kind.DUPLICATED, call.thread, f"{call.marker} is said {len(places)} times")
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
    last = {
        call.thread: max((c.began for c in asked if c.thread == call.thread and c.has_happened), default=0.0)
        for call in asked
    }
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
        if run.status in TERMINAL and run.status not in ("completed", "cancelled") and not run.is_lost:
            yield Violation(Kind.INCONSISTENT, run.thread, f"run {run.id} ended {run.status} ({run.error})")


def asked_of(found: Rows, agents: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Run -> its agent, and all that it answers."""
    texts = {message.id: message.text for message in found.said}
    return {run.id: (agents[run.thread], "\n".join(texts.get(one, "") for one in run.input)) for run in found.runs}


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
