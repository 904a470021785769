"""What schemathesis calls: real ids for its requests, and one check more, by the models that the documents are made of.

Loaded by schemathesis.toml; `__main__` says in the environment which service and which document it is about.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.schemas import APIOperation

from api.reference.files import DIALECTS
from tests.described import check
from tests.documents.explained import is_explained
from tests.documents.scene import SCENE
from tests.documents.things import Things
from tests.faults.clients import chance

Called: TypeAlias = Case[APIOperation[Any, Any, Any, Any]]

_REAL = 7  # of 8 ids that may be right
_scene = json.loads(os.environ[SCENE])
_dialect = DIALECTS[_scene["document"]]
_operations = {(one.method.upper(), one.path): one for one in _dialect.operations}
_chance = chance(_scene["seed"])
_things = Things(_scene["url"], _scene["token"], _scene["agents"])

_taken: set[str] = set()

_KEY, _KEY_LIMIT = "Idempotency-Key", 128
# By the names that documents give them, what of `Things` they are.
_CURSORS = {"after": "messageId", "before": "messageId", "run_id": "runId"}
_FIELDS = {
    "file_id": "fileId",
    "attachmentIds": "fileId",
    "runId": "runId",
    "assistant_id": "agentId",
    "thread_id": "id",
    "parent_message_id": "parent_message_id",
    "tool_call_id": "request",
    "tool_use_id": "request",
    "output": "output",
}


@schemathesis.hook
def before_call(context: HookContext, case: Called, kwargs: dict[str, Any]) -> None:
    """Parts that are right get ids of things that exist, most of the time; what is wrong on purpose stays so."""
    if case.operation.path.endswith("openapi.json"):
        return
    known = _things.at_hand(case.method, case.operation.path)
    if _right(case, ParameterLocation.HEADER) and _KEY in case.headers and _chance.randrange(_REAL + 1):
        case.headers[_KEY] = f"{_things.asked} {case.headers[_KEY]}"[:_KEY_LIMIT].strip()
    for place, part, names in (
        (ParameterLocation.PATH, case.path_parameters, {name: name for name in known}),
        (ParameterLocation.QUERY, case.query, _CURSORS),
    ):
        if _right(case, place):
            for name in set(part or ()) & set(names):
                part[name] = str(_real(part[name], known.get(names[name], part[name])))
    if _right(case, ParameterLocation.BODY):
        case.body = _furnished(case.body, known)


def _right(case: Called, place: ParameterLocation) -> bool:
    component = case.meta.components.get(place) if case.meta is not None else None
    return component is not None and component.mode.is_positive


def _real(given: Any, known: Any) -> Any:
    return given if known is None or (not _things.fits and _chance.randrange(_REAL + 1) == 0) else known


def _furnished(value: Any, known: Mapping[str, Any], name: str = "") -> Any:
    if isinstance(value, dict):
        if value.get("type") in ("permission_decision", "permission-decision"):
            value = value | {"requestId": _real(value.get("requestId"), known.get("request"))}
        return {key: _furnished(one, known, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_furnished(one, known, name) for one in value]
    return value if value is None or name not in _FIELDS else _real(value, known.get(_FIELDS[name]))


@schemathesis.check
def as_its_models_say(ctx: CheckContext, response: Response, case: Called) -> None:
    """No field missing, none that is not described; of a stream, each event."""
    operation = _operations.get((case.method, case.operation.path))
    _note(case, response)
    if operation is not None:
        media = response.headers.get("content-type", [""])[0].partition(";")[0]
        if not (media == "text/event-stream" and "event:" not in response.text):
            check(_dialect, operation, response.status_code, media, response.text)


def _note(case: Called, response: Response) -> None:
    """Which operations took a request that is right, each once, in a file of the run's."""
    right = case.meta is None or case.meta.generation.mode.is_positive
    label = f"{case.method} {case.operation.path}"
    if right and 200 <= response.status_code < 300 and label not in _taken:
        _taken.add(label)
        with Path(_scene["taken"]).open("a", encoding="utf-8") as written:
            written.write(f"{label}\n")


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Called, response: Response) -> bool:
    """Whether it is one: not where words of the document explain it, nor for a header or a parameter of no meaning."""
    if isinstance(failure, RejectedPositiveData):
        operation = f"{case.method} {case.operation.path}"
        return not is_explained(operation, response.status_code, response.text, case.headers or {})
    return not (isinstance(failure, AcceptedNegativeData) and _right_all_the_same(case, response))


def _right_all_the_same(case: Called, response: Response) -> bool:
    """No body where none is needed; an empty parameter that it has, which is as good as none; a form whose
    field is sent as bytes, whatever it was; a header or a parameter that nobody described, which nobody reads.
    """
    operation = _operations.get((case.method, case.operation.path))
    if operation is None or not 200 <= response.status_code < 300:
        return False
    described = {parameter["name"] for parameter in operation.parameters if parameter["in"] == "query"}
    if any(name in described and value in ("", []) for name, value in (case.query or {}).items()):
        return True
    if operation.body is not None and not operation.body_required and not response.request.body:
        return True
    if operation.upload:
        return isinstance(case.body, dict) and set(case.body) == {"file"}
    told = case.meta.phase.data if case.meta is not None else None
    return (
        isinstance(told, CoveragePhaseData)
        and told.scenario is CoverageScenario.OBJECT_UNEXPECTED_PROPERTIES
        and told.parameter_location is not ParameterLocation.BODY
    )
