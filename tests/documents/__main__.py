"""`python -m tests.documents [--seed N] [--examples N] [--cases N]`, or `make test-api`: schemathesis over all three.

Starts `threadmill dev` on servers of its own, and lets schemathesis make requests of each dialect's document, right and
wrong ones, with a real token and real ids: examples, boundaries of every field, `--examples` random ones an
operation, and chains of operations whose answers feed the next. Each answer is held against the document: no 5xx, no
status, type, header or field that it does not describe, nothing wrong taken, nothing right refused, no token needed and
not asked for. Then the batches are counted: all applied, none parked; and the logs are read: nobody raised.

Prints what schemathesis says as it goes, and then one line of JSON. Exit 1 where anything was found, an operation was
left out or never answered 2xx, or fewer than `--cases` requests were made.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.dialects import operations
from api.reference.files import DIALECTS
from tests.documents.scene import SCENE
from tests.documents.service import ROOT, Running, running
from tests.faults.waiting import until

EXAMPLES = 250  # random ones of each operation
CASES = 10_000
PHASES = "examples,coverage,fuzzing,stateful"
_CONFIG = Path(__file__).with_name("schemathesis.toml")
_REST = 30.0  # seconds until every batch is applied


@dataclass(frozen=True, slots=True)
class Dialect:
    """What schemathesis found in one document."""

    table: operations.Dialect
    report: dict[str, Any]
    taken: frozenset[str]  # operations of which a request that is right was answered 2xx

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def cases(self) -> int:
        return int(self.report["test_cases"]["generated"])

    def counts(self) -> dict[str, int]:
        """Of requests that are right: how many were taken, found nothing, or did not fit the state of things."""
        phases = [phase for operation in self.report["valid_rates"].values() for phase in operation.values()]
        return {word: sum(phase[word] for phase in phases) for word in ("accepted", "unreachable", "conflicts")}

    def faults(self) -> list[str]:
        counts = self.report["operations"]
        found = [f"{one['title']}: {', '.join(one['operations'])}" for one in self.report["failures"]]
        found += [f"error: {one}" for one in self.report["errors"]]
        if counts["tested"] != counts["total"] or not self.report["complete"]:
            found.append(f"{counts['tested']} of {counts['total']} operations were asked")
        labels = [
            f"{one.method.upper()} {one.path}"
            for one in self.table.operations
            if self.table.root.rstrip("/") + one.path not in DIALECTS  # the document itself, with which a run begins
        ]
        found += [f"{one} was never answered 2xx" for one in labels if one not in self.taken]
        return [f"{self.name}: {fault}" for fault in found]

    def document(self) -> dict[str, Any]:
        return {"operations": self.report["operations"]["tested"], "cases": self.cases, **self.counts()}


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    examples: int
    cases: int
    phases: str


def ask(service: Running, path: str, plan: Plan, directory: Path) -> Dialect:
    """Runs schemathesis over one document."""
    report, taken = directory / "report.json", directory / "taken.txt"
    taken.write_text("")
    scene = {"url": service.url, "token": service.token, "agents": service.agents, "document": path, "seed": plan.seed}
    scene["taken"] = str(taken)
    subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIG), "run", service.url + path),
            *("--header", f"Authorization: Bearer {service.token}"),
            *("--seed", str(plan.seed), "--max-examples", str(plan.examples), "--phases", plan.phases, "--no-color"),
            *("--output-sanitize", "false"),  # its token is thrown away with the service
            *("--report", "json", "--report-json-path", str(report)),
        ],
        cwd=ROOT,
        env=os.environ | {SCENE: json.dumps(scene)},
        check=False,  # the report says more than the exit code
    )
    return Dialect(DIALECTS[path], json.loads(report.read_bytes()), frozenset(taken.read_text().splitlines()))


async def at_rest(service: Running) -> list[str]:
    """What is not applied in time."""
    try:
        await until("all is applied", service.nothing_left, within=_REST)
    except TimeoutError:
        return [f"batches: {await service.left()}"]
    return []


def run(plan: Plan) -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="threadmill-documents-") as name, running(Path(name)) as service:
        found = [ask(service, path, plan, Path(name)) for path in DIALECTS]
        faults = [fault for one in found for fault in one.faults()]
        faults += asyncio.run(at_rest(service)) + service.raised()
    made = sum(one.cases for one in found)
    if made < plan.cases:
        faults.append(f"{made} requests are fewer than {plan.cases}")
    summary = {"seed": plan.seed, "seconds": round(time.monotonic() - started), "cases": made, "faults": len(faults)}
    sys.stdout.write(json.dumps(summary | {one.name: one.document() for one in found}) + "\n")
    for fault in faults[:50]:
        sys.stderr.write(f"{fault}\n")
    return int(bool(faults))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.documents", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help=f"random requests an operation ({EXAMPLES})")
    parser.add_argument("--cases", type=int, default=CASES, help=f"the least number of all requests ({CASES:,})")
    parser.add_argument("--phases", default=PHASES, help=f"of schemathesis ({PHASES})")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its processes end with it
    return run(Plan(options.seed, options.examples, options.cases, options.phases))


if __name__ == "__main__":
    sys.exit(main())
