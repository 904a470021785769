"""What the dialects told of runs and messages, against what is there: streams, whole answers, and how runs ended.

A stream that was cut told a beginning; one that came to its end, and a whole answer, all that the run said, from its
beginning or behind the question that was decided. Pure functions.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.faults.executions import rows
from tests.faults.executions.rows import DELTA, Event, Rows, Run
from tests.faults.users.calls import OF_RUNS, Act, Call
from tests.faults.users.told import ASKS, CANCELLED, SHAPELESS, Texts, Told, told
from tests.faults.violations import Kind, Violation

_QUESTION = "tool.confirmation.required"
Log = Sequence[Event]


def check_told(calls: Sequence[Call], found: Rows) -> Iterator[Violation]:
    yield from _check_documents(calls)
    logs, runs, asked = found.logs(), {run.id: run for run in found.runs}, _asked(found)
    requests = {run: frozenset(one.id for one in found.requests if one.run == run) for run in runs}
    for call in calls:
        for one in map(told, call.replies if call.act in OF_RUNS else ()):
            run = runs.get(asked.get(call.text) or call.run or one.run or "")
            if one.state == SHAPELESS:
                yield Violation(Kind.GARBLED, call.thread, f"{call.marker} has an answer {one.state}")
            if run is None or one.state == SHAPELESS:
                continue  # that a run is not there, where it must be, is found by others
            if one.run not in (None, run.id):
                what = f"{call.marker} is answered by run {run.id}, and was told of {one.run}"
                yield Violation(Kind.UNEQUAL, call.thread, what)
            part = logs[run.id] if call.act is Act.RUN else _behind(logs[run.id])
            for fault in (*_check_words(one, part), *_check_end(one, run, requests[run.id])):
                yield Violation(Kind.GARBLED, call.thread, f"{call.marker} was told of run {run.id}: {fault}")


def _check_documents(calls: Sequence[Call]) -> Iterator[Violation]:
    """Messages as OpenAI and AIML answer them, and the thread that anything is said to be of."""
    for call in calls:
        for body in (one.body for one in call.replies if one.acknowledged):
            elsewhere = isinstance(body, dict) and body.get("thread_id", call.thread) != call.thread
            if elsewhere or (call.act is Act.MESSAGE and _text(body) != call.text):
                yield Violation(Kind.GARBLED, call.thread, f"{call.marker} was answered with {body}")


def _text(message: Any) -> str | None:
    """None of what has not the shape of a message."""
    try:
        return "\n".join(part["text"]["value"] for part in message["content"])
    except (KeyError, TypeError):
        return None


def _asked(found: Rows) -> Mapping[str, str]:
    """Text of a message -> the run that answers it."""
    texts = {said.id: said.text for said in found.said}
    return {texts[message]: run.id for run in found.runs for message in run.input if message in texts}


def _check_words(one: Told, part: Log) -> Iterator[str]:
    """`part`: what the run logged from where it was followed on."""
    if one.state is None:
        if one.live is not None and not rows.spoken(part).startswith(one.live):
            yield f"{one.live!r}, which is no beginning of {rows.spoken(part)!r}"
        return
    asking = any(event.type == _QUESTION for event in part)
    heard = _before(part) if one.state == ASKS else part
    # Who is there only once it asks is not told the words of before one by one.
    if one.live not in (None, rows.spoken(heard)) and not (asking and one.live == ""):
        yield f"{one.live!r} to its end, and it said {rows.spoken(heard)!r}"
    for texts in one.listed:
        if texts != _messages(heard):
            yield f"the messages {texts}, and they are {_messages(heard)}"


def _check_end(one: Told, run: Run, requests: frozenset[str]) -> Iterator[str]:
    if one.state is None:
        return
    if one.state == ASKS:
        if one.asks != requests:
            yield f"that it asks {sorted(one.asks)}, and it asked {sorted(requests)}"
    elif one.state != run.status or one.code != (run.error or ""):
        why = "" if one.state == CANCELLED else f" ({one.code})"
        yield f"that it is {one.state}{why}, and it is {run.status} ({run.error})"


def _behind(log: Log) -> Log:
    """What a run logged behind its question."""
    return log[next((n + 1 for n, event in enumerate(log) if event.type == _QUESTION), len(log)) :]


def _before(log: Log) -> Log:
    return log[: next((n for n, event in enumerate(log) if event.type == _QUESTION), 0)]


def _messages(log: Log) -> Texts:
    """Each message, whole, in the order in which they began."""
    texts: dict[str | None, str] = {}
    for event in log:
        if event.type == DELTA:
            texts[event.message] = texts.get(event.message, "") + (event.content or "")
    return tuple(texts.values())
