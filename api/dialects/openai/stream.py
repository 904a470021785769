"""A run's stream as OpenAI's clients read it: server-sent events `thread.…`, then `done`.

Source: the wire contract, section 3; what an event holds follows what OpenAI's clients read of it.
"""

from typing import Any

from pydantic_core import to_json

from api.dialects.openai import encode, errors
from shared.errors import ThreadmillError
from shared.events import MessageAdded
from shared.ids import AgentId, MessageId, RunId, ThreadId

DONE = b"event: done\ndata: [DONE]\n\n"


def event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), to_json(data))


def error(reason: ThreadmillError, request_id: str) -> bytes:
    """The stream's last event, where it can't go on."""
    return event("error", errors.spell(reason, request_id)[1])


def run(document: encode.Document) -> bytes:
    """The run reached the status that it shows."""
    return event(f"thread.run.{document['status']}", document)


def begun(message: MessageId, thread: ThreadId, run_id: RunId, agent: AgentId | None, at: int) -> bytes:
    """A message of the run's begins; `at` in seconds."""
    known = {"created_at": at, "status": "in_progress", "run_id": run_id, "assistant_id": agent}
    document = encode.unsaid(MessageAdded(message, "assistant", []), thread, known)
    return event("thread.message.created", document) + event("thread.message.in_progress", document)


def delta(message: MessageId, text: str) -> bytes:
    block = {"index": 0} | encode.text(text)
    document = {"id": message, "object": "thread.message.delta", "delta": {"content": [block]}}
    return event("thread.message.delta", document)


def ended(document: encode.Document) -> bytes:
    """The message is over: completed, or incomplete."""
    return event(f"thread.message.{document['status']}", document)
