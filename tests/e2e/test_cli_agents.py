"""`threadmill agent create --config` and `set`: what an agent's author types."""

import json
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.e2e.command_line import Make, Threadmill
from tests.rows import Owner

pytestmark = pytest.mark.timeout(60)


async def test_a_configuration_comes_from_a_file_from_standard_input_or_as_it_stands(
    threadmill: Threadmill, owner: Owner, tmp_path: Path
) -> None:
    wanted = {"function": "mine:run", "since": "2026-01-01", "list": [1, None]}
    as_yaml = "function: mine:run\nsince: 2026-01-01\nlist: [1, null]\n"
    for name, text in (("a.yaml", as_yaml), ("b.json", json.dumps(wanted))):
        (tmp_path / name).write_text(text)
        made = await threadmill(*_create(name, str(tmp_path / name)), "--json")
        assert made.document["config"] == wanted
    assert (await threadmill(*_create("c", "-"), "--json", stdin="function: mine:run")).document["config"] == {
        "function": "mine:run"
    }
    assert (await threadmill(*_create("d", json.dumps(wanted)), "--json")).document["config"] == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("function: mine:run\n  other: [", "agent.yaml:2: "),
        ("function: a:b\nfunction: c:d", "agent.yaml:2: the key 'function' twice"),
        ("function: a:b\na: &a [1]\nb: *a", "agent.yaml:3: an alias: write the value out"),
        ("- function", "agent.yaml:1: must hold an object"),
        ("", "agent.yaml:1: must hold an object"),
        ("function: !!python/object:os.system x", "agent.yaml:1: could not determine a constructor"),
        ("function: a:b\n1: 2", "agent.yaml: keys must be text"),
        ("function: a:b\nx: .nan", "agent.yaml: JSON can't hold it"),
        ("function: a:b\nx: " + "[" * 64 + "]" * 64, "agent.yaml: must be nested at most 64 levels deep"),
        ("function: a:b\nx: &x [*x]", "agent.yaml:2: an alias"),
        ("function: a:b\n---\nfunction: a:b", "agent.yaml:2: but found another document"),
        ("function: nowhere", "function: String should match pattern"),
        ("isolation: process", "function: Field required"),
    ],
)
async def test_a_wrong_configuration_is_one_line_and_nothing_is_stored(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "agent.yaml").write_text(text)
    ended = await threadmill(*_create("mine", str(tmp_path / "agent.yaml")))
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert ended.err.count("\n") == 1
    assert await pool.fetchval("select count(*) from agents") == 0


@pytest.mark.parametrize("path", ["nowhere.yaml", "/", "nul\0"])
async def test_a_file_that_can_not_be_read_is_said_to(threadmill: Threadmill, owner: Owner, path: str) -> None:
    ended = await threadmill(*_create("mine", path))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "can't be read" in ended.err


async def test_an_unknown_runner_is_refused_with_those_there_are(threadmill: Threadmill, owner: Owner) -> None:
    ended = await threadmill("agent", "create", "mine", "--runner", "cobol")
    assert ended.code == 2
    assert "python" in ended.err


async def test_a_runner_that_is_not_installed_here_is_stored_with_a_warning(
    threadmill: Threadmill, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("worker.runners.openai", "openai"):
        monkeypatch.setitem(sys.modules, module, None)  # as if its extra were not installed
    made = await threadmill("agent", "create", "mine", "--runner", "openai", "--config", '{"model":"m"}', "--json")
    assert made.document["config"] == {"model": "m"}
    assert "stored unchecked" in made.err
    assert "threadmill[openai]" in made.err


async def test_an_agent_is_changed_in_what_was_given_only(threadmill: Threadmill, make: Make) -> None:
    await make("mine", "mine:run", "--run-timeout", "30", "--on-expired", "expire", "--busy-policy", "steer")
    before = (await threadmill("agent", "show", "mine", "--json")).document
    assert (before["run_timeout"], before["on_expired"], before["busy_policy"]) == (30, "expire", "steer")
    after = (await threadmill("agent", "set", "mine", "--config", '{"function":"mine:other"}', "--json")).document
    assert {**after, "updated_at": ""} == {**before, "updated_at": "", "config": {"function": "mine:other"}}
    changed = await threadmill(
        *("agent", "set", "mine", "--run-timeout", "0", "--on-expired", "continue", "--busy-policy", "queue", "--json")
    )
    after = changed.document
    assert (after["run_timeout"], after["on_expired"], after["busy_policy"]) == (None, "continue", "queue")
    assert after["config"] == {"function": "mine:other"}


async def test_a_wrong_change_changes_nothing(threadmill: Threadmill, make: Make) -> None:
    await make("mine", "mine:run")
    before = (await threadmill("agent", "show", "mine", "--json")).document
    for options, code in (
        (["--config", '{"function":""}', "--busy-policy", "steer"], 2),
        (["--run-timeout", "-1"], 2),
        (["--on-expired", "never"], 2),
        ([], 2),
    ):
        ended = await threadmill("agent", "set", "mine", *options)
        assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert (await threadmill("agent", "set", "nobody", "--run-timeout", "1")).code == 1
    assert (await threadmill("agent", "show", "mine", "--json")).document == before


def _create(name: str, config: str) -> list[str]:
    return ["agent", "create", name, "--runner", "python", "--config", config]
