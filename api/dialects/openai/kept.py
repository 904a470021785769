"""A run as it is kept with the key of a write that does not make it: what an answer shows of it and its batch's outcome
does not. `run` and `recalled` are inverse, as far as a run is shown.
"""

from typing import Any

from pydantic_core import from_json

from api.dialects.openai import encode
from shared import documents
from shared.ids import AgentId
from shared.views import OpenRequest, RunRecord


def run(record: RunRecord, agent: AgentId | None) -> encode.Document:
    """`agent` is the thread's."""
    return {
        "run": from_json(documents.run(record.run)),
        "usage": record.usage,
        "requests": record.requests,
        "metadata": record.metadata,
        "agent": agent,
    }


def recalled(kept: Any) -> tuple[RunRecord, AgentId | None]:
    shown = encode.as_of(kept["run"], kept["usage"], kept["metadata"])
    requests = tuple(OpenRequest(**request) for request in kept["requests"])
    return RunRecord(shown.run, shown.usage, requests, shown.metadata), kept["agent"]
