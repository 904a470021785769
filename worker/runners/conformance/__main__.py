"""`python -m worker.runners.conformance module:function`: a line for each rule; exit 1 where one is broken."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared.errors import InvalidRequest
from shared.files import names
from worker.runners import configfile, registry
from worker.runners.conformance import RULES, Finding, Outcome, check_rule
from worker.runners.contents import open_file
from worker.runners.failing import RunnerError
from worker.runners.protocol import Runner
from worker.runners.registry import ConfigError, Surroundings

_SIGNS = {Outcome.PASSED: "passed", Outcome.FAILED: "FAILED", Outcome.NOT_APPLICABLE: "n/a"}


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every rule is kept or not applicable; 1: one is broken; 2: there is no such runner."""
    options = _parser().parse_args(arguments)
    try:
        config = _config(options.config)
        _check(options.file)
        runner = _open(options.runner, config, Surroundings(private_endpoints=options.private_endpoints))
    except (ConfigError, RunnerError, OSError, InvalidRequest) as error:
        sys.stderr.write(f"conformance: {error}\n")
        return 2
    findings = []
    for rule in RULES:
        given = {"text": options.text, "config": config, "timeout": options.timeout, "files": options.file}
        found = check_rule(rule, runner, **given)
        findings.append(found)
        if not options.json:
            sys.stdout.write(f"{_SIGNS[found.outcome]:8}{rule.name:22}{found.why}\n")
            sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps({"runner": options.runner, "rules": _documents(findings)}) + "\n")
    return 0 if all(found.ok for found in findings) else 1


def _documents(findings: list[Finding]) -> list[dict[str, Any]]:
    texts = {rule.name: rule.text for rule in RULES}
    return [{**asdict(found), "text": texts[found.rule]} for found in findings]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.runners.conformance",
        description="Tries a runner against the rules of the contract. It is run some dozens of times.",
    )
    parser.add_argument("runner", help="module:function, or the name of a built-in runner")
    parser.add_argument("--config", type=Path, help="a YAML or JSON file with the agent's configuration")
    parser.add_argument("--text", default="Hello", help="what the user says (default: Hello)")
    parser.add_argument("--file", type=Path, action="append", default=[], help="attach this file; once for each")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds that one run may take (default: 10)")
    parser.add_argument(
        "--private-endpoints", action="store_true", help="let the runner call addresses of private networks"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _check(paths: Sequence[Path]) -> None:
    """Raises OSError, InvalidRequest for what can't be attached."""
    for path in paths:
        names.check_name(path.name)
        open_file(path).close()


def _config(path: Path | None) -> dict[str, Any]:
    return {} if path is None else configfile.parse(path.read_text(encoding="utf-8"), str(path))


def _open(named: str, config: dict[str, Any], surroundings: Surroundings) -> Runner:
    """Raises ConfigError, RunnerError."""
    if ":" in named:
        return registry.open_runner("python", {**config, "function": named}, surroundings)
    return registry.open_runner(named, config, surroundings)


if __name__ == "__main__":
    sys.exit(main())
