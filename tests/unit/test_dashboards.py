"""The dashboard and the alerts name only what `/metrics` serves; each alert fires when it should, alone, not before."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from shared import metrics
from tests.figures import served

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
BOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "threadmill.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
DRAWN = [target["expr"] for panel in PANELS for target in panel["targets"]]
FUNCTIONS = {"sum", "max", "rate", "increase", "abs", "absent", "count", "histogram_quantile", "by"}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: Debian's package `prometheus` has it")


def expressions() -> list[str]:
    return [*(rule["expr"] for rule in RULES), *DRAWN]


def bare(expression: str) -> str:
    """Without texts in quotes, labels and variables: what is left are functions, names and numbers."""
    without = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    return re.sub(r"\{[^{}]*\}|\[[^\[\]]*\]|\bby \([\w, ]*\)", " ", without)


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_is_whole_and_names_only_figures_that_are_served(expression: str) -> None:
    left = bare(expression)
    assert not set(left) & set("{}[]\"'$")
    assert left.count("(") == left.count(")")
    called = set(re.findall(r"\b([a-z_]+)\s*\(", left))
    assert called <= FUNCTIONS
    named = set(re.findall(r"\b[a-z_][a-z_0-9]*\b", left)) - FUNCTIONS - {"e6"}
    assert named
    assert named <= served()


def test_nothing_that_is_measured_is_left_out_of_the_dashboard() -> None:
    assert metrics.BUILD is not None
    drawn = " ".join(DRAWN)
    measured = {family.name for family in REGISTRY.collect() if family.name.startswith("threadmill_")}
    assert {name for name in measured if name not in drawn} == set()


def test_every_panel_says_what_it_shows_in_which_unit_and_of_which_source() -> None:
    for panel in PANELS:
        assert panel["description"].endswith((".", "`"))
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert all('job=~"$job",instance=~"$instance"' in target["expr"] for target in panel["targets"])
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows[:6] == ["Overview", "Accept", "Queue", "Apply", "Runs", "Streams"]
    assert [one["name"] for one in BOARD["templating"]["list"]] == ["datasource", "job", "instance"]
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert not [(a["title"], b["title"]) for a, b in combinations(BOARD["panels"], 2) if _overlap(a, b)]


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    a, b = one["gridPos"], other["gridPos"]
    beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not (beside or below)


def test_a_figure_that_is_not_known_is_shown_as_such_and_not_as_it_was_last() -> None:
    gauges = [gauge._name for gauge in (*metrics.OF_POSTGRES, metrics.BACKLOG)]
    for panel in PANELS:
        if panel["type"] == "stat" and any(gauge in panel["targets"][0]["expr"] for gauge in gauges):
            assert panel["options"]["reduceOptions"]["calcs"] == ["last"]
            (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
            assert mapping["options"] == {"match": "null+nan", "result": {"text": "not known"}}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_where_its_runbook_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
    (runbook,) = re.findall(rf"^### {rule['alert']}\n\n(.+?)\n\n", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert len(runbook) > 40


# A service that is well: a minute between samples, for 70 of them.
WELL = {
    'up{job="threadmill-api",instance="a"}': "1x70",
    'up{job="threadmill-worker",instance="w"}': "1x70",
    "threadmill_workers": "2x70",
    "threadmill_oldest_batch_seconds": "0.01x70",
    "threadmill_ready_runs_oldest_seconds": "0x70",
    "threadmill_backlog_batches": "40x70",
    'threadmill_requests_total{status="202"}': "0+1500x70",
    'threadmill_requests_total{status="503"}': "0+1x70",
    'threadmill_ended_runs_total{status="completed"}': "0+900x70",
    'threadmill_ended_runs_total{status="failed"}': "0+10x70",
    "threadmill_parked_batches_total": "3x70",
    'threadmill_webhooks_total{result="parked"}': "7x70",
    "threadmill_lost_leases_total": "1x70",
    'threadmill_loop_stalls_total{instance="w"}': "2x70",
    'threadmill_postgres_errors_total{call="append"}': "5x70",
    'threadmill_redis_errors_total{call="ring"}': "5x70",
    'threadmill_clock_skew_seconds{instance="a"}': "-0.02x70",
    'threadmill_build_info{version="1.0.0",instance="a"}': "1x70",
    'threadmill_build_info{version="1.0.0",instance="w"}': "1x70",
    **{
        f'threadmill_{name}_seconds_bucket{{le="{le}"}}': f"0+{count}x70"
        for name in ("accepted_to_applied", "accept", "stream_lag")
        for le, count in (("0.01", 1000), ("10.0", 1001), ("+Inf", 1001))
    },
}
SLOW = {le: f"0+{count}x70" for le, count in (("0.01", 10), ("10.0", 1001), ("+Inf", 1001))}

# What makes each alert fire, in place of, or beside, what is well.
ILL: dict[str, dict[str, str]] = {
    "ApiDown": {'up{job="threadmill-api",instance="a"}': "_x70"},
    "ProcessDown": {'up{job="threadmill-worker",instance="w2"}': "0x70"},
    "NoWorker": {"threadmill_workers": "0x70"},
    "BatchesLate": {"threadmill_oldest_batch_seconds": "0.01+60x70"},
    "RunsLate": {"threadmill_ready_runs_oldest_seconds": "0+15x70"},
    "BacklogLong": {"threadmill_backlog_batches": "4100000x70"},
    "Refusing": {'threadmill_requests_total{status="503"}': "0+30x70"},
    "RunsFail": {'threadmill_ended_runs_total{status="failed"}': "0+300x70"},
    "DeadLetters": {"threadmill_parked_batches_total": "3x66 4x4"},
    "WebhooksDead": {'threadmill_webhooks_total{result="parked"}': "7x40 8x30"},
    "LeasesLost": {"threadmill_lost_leases_total": "1x66 2x4"},
    "LoopStalls": {'threadmill_loop_stalls_total{instance="w"}': "2x66 3x4"},
    "PostgresErrors": {'threadmill_postgres_errors_total{call="append"}': "0+15x70"},
    "RedisErrors": {'threadmill_redis_errors_total{call="ring"}': "0+15x70"},
    "ClockSkew": {'threadmill_clock_skew_seconds{instance="a"}': "-1.5x70"},
    "VersionsDiffer": {'threadmill_build_info{version="1.1.0",instance="w2"}': "1x70"},
    "ApplySlow": {f'threadmill_accepted_to_applied_seconds_bucket{{le="{le}"}}': n for le, n in SLOW.items()},
    "AcceptSlow": {f'threadmill_accept_seconds_bucket{{le="{le}"}}': n for le, n in SLOW.items()},
    "StreamsLate": {f'threadmill_stream_lag_seconds_bucket{{le="{le}"}}': n for le, n in SLOW.items()},
}


def test_every_alert_is_made_to_fire() -> None:
    assert {f"Threadmill{name}" for name in ILL} == {rule["alert"] for rule in RULES}


def _case(name: str, changed: dict[str, str], firing: list[str]) -> dict[str, Any]:
    expected = [{"labels": f'{{alertname="Threadmill{one}"}}', "value": 1} for one in firing]
    count = 'count by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in {**WELL, **changed}.items()],
        "promql_expr_test": [{"expr": count, "eval_time": "70m", "exp_samples": expected}],
    }


# The gauges that are read from a server, while it is away; and what KEDA is told then.
UNKNOWN = {
    name: f"{values.split('x')[0]} {' '.join(['NaN'] * 69)}"
    for name, values in WELL.items()
    if name in {"threadmill_workers", *(f"threadmill_{of}" for of in ("oldest_batch_seconds", "backlog_batches"))}
    or name.startswith("threadmill_ready_runs")
}
EXECUTING = {
    "threadmill_executing_runs": "7x70",
    "threadmill_ready_runs": UNKNOWN["threadmill_ready_runs_oldest_seconds"],
}


def _unknown() -> dict[str, Any]:
    documents = yaml.safe_load_all(
        (ROOT / "deploy" / "k8s" / "components" / "keda" / "keda.yaml").read_text(encoding="utf-8")
    )
    triggers = [trigger for document in documents for trigger in document["spec"].get("triggers", ())]
    queries = [trigger["metadata"]["query"] for trigger in triggers if trigger["type"] == "prometheus"]
    case = _case("nobody knows", UNKNOWN | EXECUTING, [])
    for query, told in zip(queries, ([], [{"labels": "{}", "value": 7}]), strict=True):
        case["promql_expr_test"].append({"expr": query, "eval_time": "70m", "exp_samples": told})
    return case


def _cases() -> Iterator[dict[str, Any]]:
    yield _case("all is well", {}, [])
    yield _unknown()
    for name, changed in ILL.items():
        yield _case(name, changed, [name])


def _promtool(*arguments: str) -> str:
    ended = subprocess.run([str(PROMTOOL), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@needs_promtool
def test_promtool_takes_the_rules_the_example_and_what_the_dashboard_asks(tmp_path: Path) -> None:
    _promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    asked = [re.sub(r"\$__rate_interval", "5m", expression) for expression in DRAWN]
    drawn = [{"record": f"drawn:{n}", "expr": expression} for n, expression in enumerate(asked)]
    file = tmp_path / "drawn.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "drawn", "rules": drawn}]}), encoding="utf-8")
    assert f"{len(DRAWN)} rules found" in _promtool("check", "rules", str(file))


@pytest.mark.slow  # promtool takes some seconds of CPU for twenty stories
@needs_promtool
def test_each_alert_fires_alone_and_none_does_where_all_is_well(tmp_path: Path) -> None:
    file = tmp_path / "alerts_test.yml"
    tests = {"rule_files": [str(PROMETHEUS / "alerts.yml")], "evaluation_interval": "1m", "tests": list(_cases())}
    file.write_text(yaml.safe_dump(tests), encoding="utf-8")
    assert "SUCCESS" in _promtool("test", "rules", str(file))
