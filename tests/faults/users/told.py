"""What one answer told of a run, whichever dialect it is in: which one, its words, how it stood at the end. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tests.contract.dialects.wire import Frame
from tests.faults.executions.stage import TERMINAL
from tests.faults.history import Document, Reply
from tests.faults.users.calls import frames_of, is_open, is_verdict, refusal_of

ASKS, CANCELLED = "asks", "cancelled"
SHAPELESS = "not in the shape of its dialect"
Texts = tuple[str, ...]

_RUN, _MESSAGE = "thread.run", "thread.message"


@dataclass(frozen=True, slots=True)
class Told:
    """`listed`: each list of whole messages in it; `state`: `asks`, a terminal one, or none that there is; None where
    it does not say.
    """

    run: str | None = None
    live: str | None = None  # the text of all deltas; None of an answer that is no stream
    listed: tuple[Texts, ...] = ()
    state: str | None = None
    code: str = ""  # of a run that failed
    asks: frozenset[str] = frozenset()  # ids of permission requests


def told(reply: Reply) -> Told:
    """Of a call about a run. Nothing where it is an error that is not the run's."""
    try:
        return _told(reply)
    except (KeyError, TypeError, AttributeError):
        return Told(state=SHAPELESS)


def _told(reply: Reply) -> Told:
    frames = frames_of(reply)
    if frames is not None:
        return _streamed(reply, frames)
    if is_verdict(reply):
        return _verdict(reply)
    if not reply.acknowledged:
        return Told()
    if reply.body.get("object") == _RUN:
        return Told(str(reply.body["id"]))
    return _response(reply.body)


def _streamed(reply: Reply, frames: Sequence[Frame]) -> Told:
    run, live = _run_of(frames), "".join(_delta(name, data) for name, data in frames)
    if is_open(reply) or (refusal_of(reply) and not is_verdict(reply)):
        return Told(run, live)
    if is_verdict(reply):
        verdict = _verdict(reply)
        return Told(run, live, state=verdict.state, code=verdict.code)
    if frames[-1][0] == "response":
        whole = _response(frames[-1][1])
        shown = tuple(str(data["text"]) for name, data in frames if name == "response.text")
        return Told(run, live, (shown, *whole.listed), whole.state, asks=whole.asks)
    return _ended(frames, run, live)


def _ended(frames: Sequence[Frame], run: str | None, live: str) -> Told:
    """A stream of OpenAI: the last thing that is said of the run, before it is done."""
    runs = [(name, data) for name, data in frames if name.startswith(f"{_RUN}.")]
    name, last = runs[-1] if runs else ("", {})
    shown = tuple(_text(data) for name, data in frames if name in (f"{_MESSAGE}.completed", f"{_MESSAGE}.incomplete"))
    state = name.removeprefix(f"{_RUN}.")
    if state == "requires_action":
        calls = last["required_action"]["submit_tool_outputs"]["tool_calls"]
        return Told(run, live, (shown,), ASKS, asks=frozenset(str(one["id"]) for one in calls))
    code = str((last.get("last_error") or {}).get("message", "")).partition(":")[0]
    return Told(run, live, (shown,), state if state in TERMINAL else SHAPELESS, code)


def _response(document: Document) -> Told:
    """Cortex: the last frame of a stream, or the whole answer."""
    content = document["content"]
    asks = frozenset(str(part["tool_use"]["tool_use_id"]) for part in content if part["type"] == "tool_use")
    texts = tuple(str(part["text"]) for part in content if part["type"] == "text")
    return Told(str(document["metadata"]["run_id"]), None, (texts,), ASKS if asks else "completed", asks=asks)


def _verdict(reply: Reply) -> Told:
    """Cortex says why a run has no answer, and not which one it is."""
    _, code = refusal_of(reply) or (0, "")
    return Told(state=CANCELLED) if code == "run.cancelled" else Told(state="failed", code=code)


def _run_of(frames: Sequence[Frame]) -> str | None:
    """In Cortex only the last event names it."""
    named = (str(data["id"]) for name, data in frames if name.startswith(f"{_RUN}."))
    answered = (str(data["metadata"]["run_id"]) for name, data in frames if name == "response")
    return next(chain(named, answered), None)


def _delta(name: str, data: Any) -> str:
    if name == f"{_MESSAGE}.delta":
        return _text(data["delta"])
    return str(data["text"]) if name == "response.text.delta" else ""


def _text(message: Document) -> str:
    return "".join(part["text"]["value"] for part in message["content"])
