"""The conformance suite: the demo agents keep every rule, and every rule catches the runners that break it."""

import itertools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit import broken_runners
from worker.runners import Context, Output, TextDelta, configfile
from worker.runners.conformance import RULES, Outcome, Rule, check_rule
from worker.runners.conformance.__main__ import main
from worker.runners.demo import approve, echo
from worker.runners.protocol import Runner
from worker.runners.python import load

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BY_NAME = {rule.name: rule for rule in RULES}

SLOW = (pytest.mark.slow, pytest.mark.long)  # it waits out the time that a runner has to stop in, twice


@pytest.fixture(autouse=True)
def nothing_hangs_on() -> Iterator[None]:
    broken_runners.LET_GO.clear()
    yield
    broken_runners.LET_GO.set()


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("runner", [echo, approve])
def test_the_demo_agents_keep_every_rule(rule: Rule, runner: Runner) -> None:
    found = check_rule(rule, runner)
    assert found.ok, found.why


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_example_of_the_page_keeps_every_rule_and_none_is_idle(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    config = configfile.parse((EXAMPLES / "weather.yaml").read_text(encoding="utf-8"), "weather.yaml")
    found = check_rule(rule, load(config["function"]), text="Bergen", config=config)
    assert found.outcome is Outcome.PASSED, found.why


def test_a_slow_echo_goes_on_from_its_checkpoints() -> None:
    found = check_rule(BY_NAME["resumes"], echo, text="/slow 2 Hello")
    assert found.outcome is Outcome.PASSED, found.why


@pytest.mark.parametrize(
    ("rule", "runner", "says"),
    [pytest.param(*one, marks=SLOW if one[0] == "interrupts" else ()) for one in broken_runners.BROKEN],
    ids=[f"{rule}-{runner.__name__}" for rule, runner, _ in broken_runners.BROKEN],
)
def test_a_rule_catches_the_runner_that_breaks_it(rule: str, runner: Any, says: str) -> None:
    found = check_rule(BY_NAME[rule], runner, timeout=0.5)
    assert (found.rule, found.outcome) == (rule, Outcome.FAILED)
    assert says in found.why


def test_every_rule_has_a_runner_that_breaks_it() -> None:
    assert {rule for rule, _, _ in broken_runners.BROKEN} == set(BY_NAME)


def test_a_rule_about_permissions_says_that_there_are_none() -> None:
    found = check_rule(BY_NAME["rejected"], echo)
    assert (found.outcome, found.ok) == (Outcome.NOT_APPLICABLE, True)


def test_after_a_runner_that_took_the_loop_away_the_next_rule_has_another(capsys: pytest.CaptureFixture[str]) -> None:
    lost = check_rule(BY_NAME["ends"], broken_runners.never_gives_the_loop_back, timeout=0.5)
    assert not lost.ok
    assert check_rule(BY_NAME["ends"], echo).ok


def test_a_runner_that_models_make_differ_is_not_blamed_for_sharing() -> None:
    runs = itertools.count()

    async def counts(ctx: Context) -> AsyncIterator[Output]:
        yield TextDelta(str(next(runs)))

    assert check_rule(BY_NAME["shares_nothing"], counts).outcome is Outcome.NOT_APPLICABLE


def test_the_command_reports_each_rule_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker.runners.demo:approve"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [rule.name for rule in RULES]
    assert {line.split()[0] for line in lines} == {"passed", "n/a"}


def test_the_command_fails_where_a_rule_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tests.unit.broken_runners:does_it_anyway", "--json", "--timeout", "1"]) == 1
    document = json.loads(capsys.readouterr().out)
    failed = [one for one in document["rules"] if one["outcome"] == "failed"]
    assert [one["rule"] for one in failed] == ["refusals"]
    assert failed[0]["text"] == BY_NAME["refusals"].text


def test_the_configuration_of_a_file_reaches_the_runner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("isolation: thread\n")
    assert main(["worker.runners.demo:echo", "--config", str(path)]) == 2
    assert capsys.readouterr().err.startswith("conformance: isolation: ")


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("worker.runners.demo:nothing", "can't be loaded"),
        ("no.such.module:run", "can't be loaded"),
        ("worker.runners.demo:_pieces", "no async generator function"),
        ("nonsense", "there is no runner 'nonsense'"),
    ],
)
def test_a_runner_that_is_not_there_is_said_to(named: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([named]) == 2
    assert says in capsys.readouterr().err
