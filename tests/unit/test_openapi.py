"""The dialects' OpenAPI documents: valid ones, of the routes that there are, with examples that their models take."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from api.app import create_app
from api.dialects import openapi
from api.dialects.operations import KEY, Dialect, Operation
from api.reference.files import DIALECTS
from shared import ids
from shared.settings import Settings
from tests.openapi31 import DOCUMENT

NOWHERE = "postgresql://localhost:1/nowhere"
OTHERS = {"/healthz", "/readyz", "/metrics", "/docs", "/docs/reference.css", "/"}  # of the service, and of no dialect
ALL = [(dialect, operation) for dialect in DIALECTS.values() for operation in dialect.operations]

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
every_operation = pytest.mark.parametrize(
    ("dialect", "operation"), ALL, ids=[f"{dialect.name} {one.method} {one.path}" for dialect, one in ALL]
)


def whole(dialect: Dialect, path: str) -> str:
    return f"{dialect.root.rstrip('/')}{path}"


def _of_console(path: str) -> bool:
    return path == "/console" or path.startswith("/console/")


async def test_every_route_stands_in_exactly_one_document_and_every_operation_is_a_route() -> None:
    app = await create_app(Settings().model_copy(update={"database_url": NOWHERE}))
    served = {
        (route.method, resource.canonical.rstrip("/"))
        for resource in app.router.resources()
        for route in resource
        if route.method != "HEAD" and resource.canonical not in OTHERS and not _of_console(resource.canonical)
    }
    told = Counter((operation.method.upper(), whole(dialect, operation.path)) for dialect, operation in ALL)
    assert set(told) == served
    assert set(told.values()) == {1}


@every_dialect
def test_a_document_is_valid(dialect: Dialect) -> None:
    text = json.dumps(openapi.document(dialect))
    document = DOCUMENT.validate_json(text)
    assert sum(len(path) for path in document.paths.values()) == len(dialect.operations)


@every_dialect
def test_every_reference_leads_somewhere_and_nothing_is_left_over(dialect: Dialect) -> None:
    document = openapi.document(dialect)
    components = document["components"]
    used = set(re.findall(r"'#/components/(\w+)/([^']+)'", str(document)))
    there = {(kind, name) for kind, entries in components.items() for name in entries if kind != "securitySchemes"}
    assert used <= there
    assert {name for kind, name in there - used if kind == "schemas"} == set()
    assert {name for entry in document["security"] for name in entry} == set(components["securitySchemes"])


@every_dialect
def test_models_have_names_that_can_be_read(dialect: Dialect) -> None:
    names = openapi.document(dialect)["components"]["schemas"]
    assert [name for name in names if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []


@every_dialect
def test_every_operation_has_a_name_of_its_own_and_its_parameters(dialect: Dialect) -> None:
    names = [openapi.operation_id(operation) for operation in dialect.operations]
    assert len(set(names)) == len(names)
    for path, item in openapi.document(dialect)["paths"].items():
        for operation in item.values():
            given = [entry["name"] for entry in operation["parameters"] if entry.get("in") == "path"]
            assert given == re.findall(r"{(\w+)}", path)
            named = [(entry["name"], entry["in"]) for entry in operation["parameters"] if "$ref" not in entry]
            assert len(set(named)) == len(named)


@every_operation
def test_an_example_is_one_that_the_model_takes(dialect: Dialect, operation: Operation) -> None:
    assert (operation.example is None) == (operation.body is None)
    if operation.body is not None:
        digits = "1000000000" if dialect.name == "cortex" else ids.mint()
        example = json.loads(re.sub(r"\$[A-Z]+", digits, json.dumps(operation.example)))
        assert TypeAdapter(operation.body).validate_python(example) is not None


@every_operation
def test_an_operation_says_how_it_refuses(dialect: Dialect, operation: Operation) -> None:
    statuses = set(openapi.refusals(dialect, operation))
    if not operation.token:
        assert statuses == set()
        return
    assert {"400", "401", "403", "500", "503"} <= statuses
    assert ({"413", "415"} <= statuses) == (operation.body is not None or operation.upload)
    assert ("409" in statuses) == (
        KEY in operation.parameters or (bool(operation.conflict) and dialect.name != "openai")
    )
    assert all(text.endswith(".") for text in openapi.refusals(dialect, operation).values())


def test_both_forms_of_an_answer_are_told() -> None:
    cortex, aiml = (openapi.document(DIALECTS[path]) for path in ("/api/v2/openapi.json", "/v1/openapi.json"))
    made = cortex["paths"]["/cortex/threads"]["post"]["responses"]["200"]
    assert _titles(made) == ["documented", "live"]
    messages = aiml["paths"]["/threads/{threadId}/messages"]
    assert _titles(messages["get"]["responses"]["200"]) == ["AIML", "OpenAI"]
    assert {"200", "201"} <= set(messages["post"]["responses"])
    official = aiml["paths"]["/v1/threads/{threadId}/messages"]
    assert "201" not in official["post"]["responses"]


def test_a_stream_is_told_by_the_names_of_its_events() -> None:
    run = openapi.document(DIALECTS["/v1/openapi.json"])["paths"]["/v1/threads/{threadId}/runs"]["post"]
    events = run["responses"]["200"]["content"]["text/event-stream"]["schema"]["oneOf"]
    assert [event["properties"]["event"]["const"] for event in events][-3:] == [
        "thread.message.delta",
        "error",
        "done",
    ]
    assert all(event["required"] == ["event", "data"] for event in events)
    assert {event["properties"]["data"]["type"] for event in events} == {"string"}
    assert events[0]["properties"]["data"]["contentSchema"] == {"$ref": "#/components/schemas/Run"}


def _titles(answer: dict[str, Any]) -> list[str]:
    return [form["title"] for form in answer["content"]["application/json"]["schema"]["oneOf"]]


@every_dialect
def test_no_sentence_of_a_document_is_empty(dialect: Dialect) -> None:
    for key, value in _texts(openapi.document(dialect)):
        assert value.strip() == value, (key, value)
        assert value, key


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            if key in ("description", "summary", "title") and isinstance(entry, str):
                yield key, entry
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
