"""A dialect as an OpenAPI 3.1 document, generated from its table and from the models that check its requests.

Source: https://spec.openapis.org/oas/v3.1.1. Refused here: knowing any dialect.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from api.dialects import shell
from api.dialects.operations import KEY, RATE, SECURITY, Answer, Dialect, Model, Operation, Schema, Sent

_REF = "#/components/schemas/{model}"
_LATER = frozenset({"409", "429", "503"})  # a key whose request is under way says when to try again
_KEY_USED = "The Idempotency-Key stands for another request."
_UNDER_WAY = "The first request of the Idempotency-Key is still under way: try again."
_JSON, _SSE = "application/json", "text/event-stream"
_FORM: Schema = {  # OpenAPI 3.1, "Considerations for File Uploads"
    "type": "object",
    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": ["file"],
    "additionalProperties": False,
}

_TEXT_OF_JSON: Schema = {"type": "string", "contentMediaType": _JSON}  # JSON Schema 2020-12, "contentSchema"


def document(dialect: Dialect) -> Schema:
    """The whole document, as a value for a JSON encoder."""
    return _Writer(dialect).document()


def operation_id(operation: Operation) -> str:
    """`get_threads_events_1`: its method, the words of its path, how many parameters that has."""
    words = [re.sub(r"\W", "_", word) for word in operation.path.split("/") if word and "{" not in word]
    return "_".join([operation.method, *words, str(operation.path.count("{"))])


class _Plain(GenerateJsonSchema):
    """Without a title for each field, which would say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Writer:
    """One document at work: its table, and where the schema of each model is."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        models = [model for operation in dialect.operations for model in operation.models()]
        self._keys, self._schemas, self._definitions = _described([*models, dialect.error, *dialect.told])

    def document(self) -> Schema:
        dialect, paths = self._dialect, dict[str, Schema]()
        for operation in dialect.operations:
            paths.setdefault(operation.path, {})[operation.method] = self._operation(operation)
        groups = dict.fromkeys(operation.group for operation in dialect.operations)
        written: Schema = {
            "openapi": "3.1.0",
            "info": {"title": dialect.title, "version": "1", "description": dialect.says},
            "servers": [{"url": dialect.root}],
            "security": [{name: []} for name in SECURITY],
            "tags": [{"name": group} for group in groups],
            "paths": paths,
            "components": self._components(),
        }
        if dialect.webhooks:
            written["webhooks"] = dialect.webhooks
        return written

    def _components(self) -> Schema:
        plain = self._dialect.refusals.items()
        return {
            "securitySchemes": SECURITY,
            "responses": {status: self._refusal(status, says) for status, says in plain},
            "parameters": dict(self._dialect.common),
            "headers": dict(self._dialect.headers) | dict(RATE),
            "schemas": self._definitions,
        }

    def _operation(self, operation: Operation) -> Schema:
        described: Schema = {
            "summary": operation.summary,
            "operationId": operation_id(operation),
            "tags": [operation.group],
            "parameters": [
                *self._path_parameters(operation),
                *operation.parameters,
                *({"$ref": f"#/components/parameters/{name}"} for name in self._dialect.common),
            ],
            "responses": self._responses(operation),
            "x-codeSamples": [{"lang": "Shell", "source": shell.curl(self._dialect, operation)}],
        }
        if operation.says:
            described["description"] = operation.says
        if operation.body is not None:
            content = {_JSON: {"schema": self._schema(operation.body)}}
            described["requestBody"] = {"required": operation.body_required, "content": content}
        if operation.upload:
            described["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
        if not operation.token:
            described["security"] = []
        return described

    def _path_parameters(self, operation: Operation) -> Iterable[Schema]:
        for name in re.findall(r"{(\w+)}", operation.path):
            yield {"name": name, "in": "path", "required": True} | self._dialect.path_parameters[name]

    def _responses(self, operation: Operation) -> Schema:
        good = {answer.status: self._answer(answer) for answer in operation.answers}
        refused = refusals(self._dialect, operation)
        return good | {
            status: {"$ref": f"#/components/responses/{status}"}
            if says == self._dialect.refusals.get(status)
            else self._refusal(status, says)
            for status, says in refused.items()
        }

    def _answer(self, answer: Answer) -> Schema:
        content: Schema = {}
        if answer.choices:
            forms = [{"title": one.title, "description": one.says} | self._schema(one.model) for one in answer.choices]
            content[_JSON] = {"schema": {"oneOf": forms}}
        elif answer.model is not None:
            content[_JSON] = {"schema": self._schema(answer.model)}
        if answer.bytes:
            content["*/*"] = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
        if answer.events:
            events = [self._event(event) for event in answer.events]
            content[_SSE] = {"schema": {"oneOf": events, "description": "Each event is one of these."}}
        return {"description": answer.says, "headers": self._headers(answer.headers), "content": content}

    def _event(self, event: Sent) -> Schema:
        described = {"description": event.says} if event.says else {}
        return {
            "title": event.name,
            **described,
            "type": "object",
            "properties": {"event": {"const": event.name}, "data": self._data(event)},
            "required": ["event", "data"],
        }

    def _data(self, event: Sent) -> Schema:
        """A line of text, which holds JSON; `[DONE]` is none, and stands as it is."""
        described = self._schema(event.model)
        return described if "const" in described else _TEXT_OF_JSON | {"contentSchema": described}

    def _refusal(self, status: str, says: str) -> Schema:
        names = ("Retry-After",) if status in _LATER else ()
        headers = self._headers((*names, *RATE) if status == "429" else names)
        content = {_JSON: {"schema": self._schema(self._dialect.error)}}
        return {"description": says, "headers": headers, "content": content}

    def _headers(self, names: Iterable[str]) -> Schema:
        return {name: {"$ref": f"#/components/headers/{name}"} for name in (*self._dialect.always, *names)}

    def _schema(self, model: Model) -> Schema:
        return self._schemas[self._keys.index(model)]


def refusals(dialect: Dialect, operation: Operation) -> Mapping[str, str]:
    """Every status that the operation can refuse a request with, and when it does."""
    if not operation.token:
        return {}
    can = {"400", "401", "403", "429", "500", "503"}
    can |= {"404"} if "{" in operation.path or operation.method != "get" else set()
    can |= {"413", "415"} if operation.body is not None or operation.upload else set()
    found = {status: says for status, says in dialect.refusals.items() if status in can}
    told = [(dialect.conflict_status, operation.conflict)]
    if KEY in operation.parameters:
        told += [(dialect.conflict_status, _KEY_USED), ("409", _UNDER_WAY)]
    for status, says in told:
        if says:
            found[status] = f"{found.get(status, '')} {says}".strip()
    return dict(sorted(found.items()))


def _described(models: Iterable[Model]) -> tuple[list[Model], list[Schema], Schema]:
    """The models, each once; the schema of each; and the definitions that these refer to."""
    keys: list[Model] = []
    for model in models:
        if model not in keys:  # not all of them can be hashed
            keys.append(model)
    inputs: list[Any] = [(n, "validation", TypeAdapter(model)) for n, model in enumerate(keys)]
    found, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF, schema_generator=_Plain)
    return keys, [found[n, "validation"] for n in range(len(keys))], definitions.get("$defs", {})
