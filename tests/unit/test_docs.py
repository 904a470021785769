"""The documentation names what the code has: each setting, metric, state, error code, warning code, key and command."""

import re
from enum import StrEnum
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from api.operator import Came
from shared import errors, keys, metrics
from shared.db.connect import BY_INDEX
from shared.effects import WarningCode
from shared.errors import ThreadmillError
from shared.inspect.batches import BatchState
from shared.inspect.problems import ADVICE
from shared.inspect.webhooks import MessageState
from shared.models import RequestState, RunStatus, ThreadStatus
from shared.settings import Settings
from tests.commands import commands

DOCS = Path(__file__).parents[2] / "docs"
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference.md").read_text(encoding="utf-8")


def quoted(text: str) -> set[str]:
    """What stands between backticks on one line."""
    return set(re.findall(r"`([^`\n]+)`", text))


PAGES = sorted(DOCS.rglob("*.md"))
ALL = set().union(*(quoted(page.read_text(encoding="utf-8")) for page in PAGES))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_stands_in_the_table_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    variable = field.validation_alias or f"THREADMILL_{name.upper()}"
    default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    row = next(line for line in REFERENCE.splitlines() if line.startswith(f"| `{variable}` |"))
    _, _, shown, meaning, _ = (cell.strip() for cell in row.split("|"))
    assert shown == (f"`{default}`" if default else "empty")
    assert meaning


@pytest.mark.parametrize("states", [RunStatus, ThreadStatus, RequestState, BatchState, MessageState, WarningCode])
def test_every_state_and_every_warning_code_is_explained(states: type[StrEnum]) -> None:
    assert {str(state) for state in states} <= ALL


def _registered() -> list[str]:
    """Our metrics, named as a scrape shows them: counters end in `_total`."""
    found = {metric.name: metric.type for metric in REGISTRY.collect() if metric.name.startswith("threadmill_")}
    ends = {"counter": "_total", "info": "_info"}
    return sorted(name + ends.get(kind, "") for name, kind in found.items())


@pytest.mark.parametrize("came", [came for came in Came if came is not Came.DONE])
def test_what_came_of_a_deed_is_explained(came: Came) -> None:
    assert f"`{came}`" in " ".join(OPERATIONS.split())


def test_there_are_metrics() -> None:
    assert metrics.ACCEPTED is not None
    assert len(_registered()) > 20


@pytest.mark.parametrize("name", _registered())
def test_every_metric_stands_in_the_table_with_its_meaning(name: str) -> None:
    row = next(line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}` |"))
    _, _, kind, meaning, _ = (cell.strip() for cell in row.split("|"))
    assert kind
    assert meaning


def test_every_metric_of_the_table_exists() -> None:
    named = re.findall(r"^\| `(threadmill_\w+)` \|", REFERENCE, re.MULTILINE)
    assert sorted(named) == _registered()


def test_the_table_of_the_doctor_is_what_the_doctor_says() -> None:
    said = [
        f"| `{code}` | {advice.severity} | {advice.cause} | {advice.next_step} |" for code, advice in ADVICE.items()
    ]
    assert re.findall(r"^\| `\w+` \| (?:error|warning|info) \|.*$", OPERATIONS, re.MULTILINE) == said


def test_every_error_code_stands_in_the_table_with_its_statuses() -> None:
    rows = [line for line in REFERENCE.splitlines() if line.startswith("| `")]
    for kind in _errors():
        assert any(kind.code in quoted(row) and str(kind.status) in row for row in rows), kind


def test_the_tree_of_errors_is_drawn_as_it_grows() -> None:
    drawn = re.findall(r"── (\w+) *(\d{3})? *(\w+)?$", errors.__doc__ or "", re.MULTILINE)
    by_name = {kind.__name__: kind for kind in _errors()}
    assert {name for name, _, _ in drawn} == set(by_name) - {"ThreadmillError"}
    for name, status, code in drawn:
        assert status in {"", str(by_name[name].status)}, name
        assert code in {"", by_name[name].code}, name


def _errors() -> list[type[ThreadmillError]]:
    """Those that are public: a module's own are never seen outside of it."""
    found: list[type[ThreadmillError]] = [ThreadmillError, *_below(ThreadmillError)]
    return [kind for kind in found if kind.__module__ == errors.__name__]


def _below(kind: type[ThreadmillError]) -> list[type[ThreadmillError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_below(child))]


def test_every_key_of_redis_is_on_the_map() -> None:
    named = re.findall(r"^\s*((?:arq|threadmill):\S+)", keys.__doc__ or "", re.MULTILINE)
    assert len(named) >= 11
    assert set(named) <= quoted(OPERATIONS)


def test_every_command_that_the_documentation_names_exists() -> None:
    known = _commands()
    named = re.findall(r"threadmill ([a-z]+)(?: ([a-z|]+))?", OPERATIONS + REFERENCE)
    assert len(named) > 20
    for noun, verbs in named:
        if noun in known:
            assert set(filter(None, verbs.split("|"))) <= known[noun] | {""}, (noun, verbs)


def _commands() -> dict[str, set[str]]:
    return {name: set(getattr(command, "commands", {})) for name, command in commands().items()}


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_link_within_the_documentation_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        name, _, anchor = target.partition("#")
        if "://" in name:
            continue
        there = page.parent / name if name else page
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target


def _prose(page: Path) -> str:
    """Without its programs."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_pooler_is_told_to_set_what_sessions_set_for_their_plans() -> None:
    text = (DOCS / "failover.md").read_text(encoding="utf-8")
    assert "set enable_sort to" not in text  # for plans that are kept; there none is
    for name, value in BY_INDEX.items() - {("enable_sort", "off")}:
        assert f"set {name} to {value};" in text or f"set {name} to {value}'" in text, name
