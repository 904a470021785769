"""docs/api.md says what the api does: every route, error, warning and limit of the code stands in it."""

import re
from pathlib import Path

import pytest

from api import body, server, sse
from api.dialects.mosoo import models
from api.dialects.mosoo.operations import OPERATIONS
from api.dialects.operations import Operation
from api.handlers import stream
from shared import errors
from shared.effects import WarningCode
from shared.errors import ThreadmillError
from shared.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ThreadmillError)]
ROOTS = {ThreadmillError, errors.Conflict}  # never raised themselves in the api


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}")
def test_every_route_stands_on_the_page_with_its_status(operation: Operation) -> None:
    route = f"`{operation.method.upper()} {operation.path}`"
    (answer,) = [cells[1] for cells in rows("Routes") if cells[0] == route]
    assert answer.startswith(operation.status)


def test_no_route_stands_on_the_page_that_is_not_served() -> None:
    assert len(rows("Routes")) == len(OPERATIONS) + 2  # the table's head and its rule


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ROOTS], ids=lambda kind: kind.__name__)
def test_every_error_stands_on_the_page_with_its_status_and_code(kind: type[ThreadmillError]) -> None:
    assert [str(kind.status), f"`{kind.code}`"] in [cells[:2] for cells in rows("Errors")]


def test_the_page_has_exactly_the_warnings_of_the_code() -> None:
    assert sorted(cells[0] for cells in rows("Warnings")[2:]) == sorted(f"`{code.value}`" for code in WarningCode)


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        (
            "body",
            f"{Settings().body_limit >> 20} MiB (`THREADMILL_BODY_LIMIT`), there within {Settings().body_timeout:g} s",
        ),
        ("the head of a request", f"{server.HEAD_TIMEOUT:g} s"),
        ("the silence between two requests", f"{server.KEEP_ALIVE:g} s"),
        ("entries that a stream begins with", f"1 to {stream.MOST:,}"),
        ("a piece of a stream", f"{sse.WRITE_TIMEOUT:g} s"),
        ("nesting", f"{body.DEPTH} levels"),
        ("keys of one object", f"{body.KEYS:,}"),
        ("commas and brackets outside of strings", f"{body.VALUES:,}"),
        ("integers", f"±2^{body.SAFE.bit_length() - 1}"),
        ("events of a batch", f"1 to {models.EVENTS_LIMIT}"),
        ("`text` of a user_message", f"not blank, {models.TEXT_LIMIT:,} bytes of UTF-8"),
        ("joined text of `input`", f"1 to {models.INPUT_LIMIT:,} characters"),
    ],
)
def test_every_limit_stands_on_the_page(what: str, limit: str) -> None:
    (given,) = [cells[1] for cells in rows("Limits") if cells[0] == what]
    assert given.startswith(limit)


def test_the_times_to_wait_stand_on_the_page() -> None:
    settings = Settings()
    assert f"{settings.wait_default:g} s unless told otherwise" in PAGE
    assert f"(seconds, at most {settings.wait_limit:g})" in PAGE


def test_the_page_has_exactly_the_types_of_events_that_the_code_logs() -> None:
    root = Path(__file__).parents[2]
    sources = [*(root / "shared" / "lifecycle").glob("*.py"), root / "worker" / "execute" / "tape.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    logged = set(re.findall(r'"((?:user|run|agent|tool|usage|session|session_files|file)\.[a-z.]+)"', text))
    reasons = {"run.expired", "session.archived"}  # why a run ended, no events
    assert sorted(cells[0] for cells in rows("Events of the log")[2:]) == sorted(
        f"`{name}`" for name in logged - reasons
    )
