"""`docs/runners.md` names all of the contract, and its examples run."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.commands import commands
from worker.runners import CONTRACT_VERSION, Context, Decision, Message, Verdict
from worker.runners.conformance import RULES, check_rule
from worker.runners.outputs import LIMIT, Output
from worker.runners.python import PythonConfig, load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "runners.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE))
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def _fields(kind: Any) -> set[str]:
    return {field.name for field in fields(kind)}


def test_the_version_of_the_page_is_that_of_the_code() -> None:
    assert f"**version {CONTRACT_VERSION}**" in PAGE


def test_everything_that_a_runner_is_told_stands_in_the_page() -> None:
    table = PAGE.split("## What a runner is told")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert _fields(Context) <= named
    assert _fields(Message) | _fields(Decision) <= named
    assert {str(verdict) for verdict in Verdict} <= NAMED


@pytest.mark.parametrize("kind", get_args(Output), ids=lambda kind: kind.__name__)
def test_every_output_stands_in_the_table_with_its_fields(kind: Any) -> None:
    table = PAGE.split("## What a runner yields")[1].split("\n## ")[0]
    row = re.search(rf"^\| `{kind.__name__}` \|.*\n(?:\| \|.*\n)*", table, re.MULTILINE)
    assert row is not None
    assert set(re.findall(r"`([a-z_]+)`", row[0])) >= _fields(kind) - {"type"}


def test_every_rule_and_every_key_of_ours_stands_in_the_page() -> None:
    assert {rule.name for rule in RULES} <= NAMED
    assert set(PythonConfig.model_fields) <= NAMED
    assert f"{LIMIT:,} characters" in PAGE


def test_every_option_and_command_of_the_page_exists() -> None:
    agent = commands()["agent"]
    options = {option for command in agent.commands.values() for one in command.params for option in one.opts}
    assert set(re.findall(r"threadmill agent (\w+)", PAGE)) <= set(agent.commands)
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) - {"--text"} <= options


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_first_runner_keeps_every_rule(rule: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greeter.py").write_text(EXAMPLES[0])
    monkeypatch.syspath_prepend(tmp_path)
    found = check_rule(rule, load("greeter:run"), text="Ada")
    assert found.ok, found.why


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_runner_that_reads_and_makes_files_keeps_every_rule(
    rule: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    (tmp_path / "notes.txt").write_text("to be or not to be")
    found = check_rule(rule, load("tally:run"), files=[tmp_path / "notes.txt"])
    assert found.ok, found.why


def test_the_first_runner_is_short() -> None:
    lines = [line for line in EXAMPLES[0].splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 15
