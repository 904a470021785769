"""The page of the runner `agui` and its example, beside what the code has; and what its configuration refuses."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ag_ui.core import EventType
from pydantic_core import PydanticUndefined

from worker.runners import registry
from worker.runners.agui import failures
from worker.runners.agui.config import AguiConfig, check
from worker.runners.registry import ConfigError

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "runners-agui.md").read_text(encoding="utf-8")
QUOTED = set(re.findall(r"`([^`\n]+)`", PAGE))


def _default(name: str) -> str:
    field = AguiConfig.model_fields[name]
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    assert default is not PydanticUndefined
    return "none" if default is None else f"`{default}`"


@pytest.mark.parametrize("name", AguiConfig.model_fields)
def test_every_key_stands_in_the_table_with_its_default(name: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    _, _, shown, meaning, _ = (cell.strip() for cell in row.split("|"))
    assert shown == _default(name)
    assert meaning


def test_the_table_has_no_other_keys() -> None:
    table = PAGE.split("## Configuration")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(AguiConfig.model_fields)


@pytest.mark.parametrize("kind", EventType)
def test_every_event_type_is_on_the_page(kind: EventType) -> None:
    assert kind.value in QUOTED


def test_every_code_of_an_error_is_on_the_page() -> None:
    codes = {value for name, value in vars(failures).items() if name.isupper() and str(value).startswith("runner.")}
    assert len(codes) == 6
    assert codes | {"runner.unavailable"} <= QUOTED


def test_the_example_is_a_configuration() -> None:
    example = yaml.safe_load((DOCS / "examples" / "agui.yaml").read_text(encoding="utf-8"))
    registry.check("agui", example)


URL = "https://example.com/agent"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "url"),
    ({"url": "ftp://example.com/"}, "url"),
    ({"url": "https://user:secret@example.com/"}, "url"),
    ({"url": "https://example.com:99999/"}, "url"),
    ({"url": "https://exa mple.com/\n"}, "url"),
    ({"url": 7}, "url"),
    ({"url": URL, "token": "x"}, "token"),
    ({"url": URL, "token_env": "sk-0123"}, "token_env"),
    ({"url": URL, "headers": {"authorization": "Bearer x"}}, "token_env"),
    ({"url": URL, "headers": {"Cookie": "x"}}, "token_env"),
    ({"url": URL, "headers": {"Host": "x"}}, "headers"),
    ({"url": URL, "headers": {"X A": "x"}}, "headers"),
    ({"url": URL, "headers": {"X-A": "x\r\ny"}}, "headers"),
    ({"url": URL, "headers": {"X-A": 1}}, "headers.X-A"),
    ({"url": URL, "history": 1_001}, "history"),
    ({"url": URL, "history": -1}, "history"),
    ({"url": URL, "timeout": 0}, "timeout"),
    ({"url": URL, "timeout": float("nan")}, "timeout"),
    ({"url": URL, "forwarded_props": [1]}, "forwarded_props"),
    ({"url": URL, "context": [{"description": "x"}]}, "context.0.value"),
    ({"url": URL, "tools": []}, "tools"),
]


@pytest.mark.parametrize(("config", "field"), WRONG)
def test_a_wrong_configuration_names_its_field(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as raised:
        registry.check("agui", config)
    assert field in str(raised.value)
    assert "secret" not in str(raised.value) or "may hold a secret" in str(raised.value)


def test_the_least_configuration_is_a_url() -> None:
    assert check({"url": URL}).timeout == 120
