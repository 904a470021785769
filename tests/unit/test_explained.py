"""What a run of made-up requests lets pass: each refusal for its own operation, field and status, and nothing else."""

import json
from typing import Any

import pytest

from api.reference.files import DIALECTS
from tests.documents.__main__ import Dialect
from tests.documents.explained import TOLD, is_explained

KEYED = {"Idempotency-Key": "a"}
OPERATIONS = {f"{one.method.upper()} {one.path}" for dialect in DIALECTS.values() for one in dialect.operations}


def refusal(message: str, code: str = "invalid_request") -> str:
    return json.dumps({"error": {"code": code, "message": message}})


def test_every_row_is_of_operations_that_there_are() -> None:
    assert {operation for row in TOLD for operation in row.operations} - OPERATIONS == set()


@pytest.mark.parametrize(
    ("operation", "status", "body", "headers", "passes"),
    [
        ("POST /threads/{threadId}/events", 400, refusal("Attachment file_a was not found."), {}, True),
        ("GET /threads/{threadId}/events", 400, refusal("Attachment file_a was not found."), {}, False),
        ("POST /threads/{threadId}/events", 404, refusal("Attachment file_a was not found."), {}, False),
        ("POST /threads/{threadId}/events", 400, refusal("The thread was not found."), {}, False),
        ("POST /threads/{threadId}/messages", 400, refusal("content must not be blank."), {}, True),
        ("POST /threads/{threadId}/messages", 400, refusal("role must not be blank."), {}, False),
        ("POST /v1/threads", 400, refusal("", "idempotency_conflict"), KEYED, True),
        ("POST /v1/threads", 400, refusal("", "idempotency_conflict"), {}, False),
        ("POST /v1/threads", 400, refusal("", "readiness_blocked"), KEYED, False),
        ("POST /threads/{threadId}/events", 400, refusal("readiness_blocked"), {}, False),
        ("GET /files/{fileId}/content", 416, "", {"Range": "bytes=9-"}, True),
        ("GET /files/{fileId}/content", 416, "", {}, False),
        ("GET /threads/{threadId}", 416, "", {"Range": "bytes=9-"}, False),
    ],
)
def test_a_refusal_passes_where_its_row_says_so(
    operation: str, status: int, body: str, headers: dict[str, str], passes: bool
) -> None:
    assert operation in OPERATIONS
    assert is_explained(operation, status, body, headers) == passes


def test_an_operation_that_was_never_answered_2xx_is_a_fault() -> None:
    (path,) = [path for path, dialect in DIALECTS.items() if dialect.name == "cortex"]
    table, found = DIALECTS[path], dict[str, Any]()
    found |= {"failures": [], "errors": [], "complete": True, "operations": {"tested": 7, "total": 7}}
    labels = frozenset(f"{one.method.upper()} {one.path}" for one in table.operations)
    assert Dialect(table, found, labels).faults() == []
    less = labels - {"POST /cortex/threads"}
    assert Dialect(table, found, less).faults() == ["cortex: POST /cortex/threads was never answered 2xx"]
