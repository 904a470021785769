"""The report: tables for people on standard output, and one last line of JSON with the same figures."""

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.bars import bars
from bench.measure import CLIENTS, Run
from bench.neighbours import Case
from bench.results import Results
from bench.runs import CLIENTS as TALKERS
from bench.runs import Talked

VARIANTS = ("baseline", "async", "waited")
PARTS = ("api", "worker", "postgres", "redis", "generator")
WIDTH = 170  # columns where standard output is no terminal
LEGEND = (
    "answer: of the POST, ms. applied: from accepted to applied, ms, both from the batch's row. cpu: µs a batch of api,"
    " worker, Postgres and Redis; then each of them, and the load generator. others: cores that strangers kept busy."
)

FIGURES: tuple[tuple[str, Callable[[Run], float]], ...] = (
    ("accepted/s", lambda run: run.accepted_per_second),
    ("applied/s", lambda run: run.applied_per_second),
    ("answer p50", lambda run: run.answers.p50_ms),
    ("answer p99", lambda run: run.answers.p99_ms),
    ("applied p50", lambda run: run.rows.p50_ms),
    ("applied p99", lambda run: run.rows.p99_ms),
    ("cpu", lambda run: run.cpu_a_batch),
    *((part, lambda run, part=part: run.cpu_us.get(part, 0.0)) for part in PARTS),
    ("others", lambda run: run.others),
)

TALKED: tuple[tuple[str, Callable[[Talked], float]], ...] = (
    ("runs/s", lambda one: one.per_second),
    ("completed p50", lambda one: one.p50_ms),
    ("completed p99", lambda one: one.p99_ms),
    ("slowest", lambda one: one.max_ms),
    ("cpu", lambda one: one.cpu_a_run),
    *((part, lambda one, part=part: one.cpu_us.get(part, 0.0)) for part in PARTS),
    ("others", lambda one: one.others),
)


def show(found: Results) -> None:
    """Prints everything that was measured."""
    console = Console(width=None if Console().is_terminal else WIDTH)
    console.print(f"{found.machine}; one durable commit takes {found.commit_ms:.2f} ms")
    console.print(LEGEND)
    if found.rounds:
        console.print(_rounds(found))
        console.print(_ratios(found))
    for title, runs in (("One thread, history", found.history), ("Redis away", found.outage)):
        if runs:
            console.print(_runs(title, runs))
    if found.neighbours:
        console.print(_neighbours(found))
    if found.hostile is not None:
        console.print(found.hostile.line())
    for backlog in found.backlogs:
        console.print(backlog.line())
    if found.runs:
        console.print(_talks(found))
    for one in (found.scale, found.observability, found.deltas, found.idle, found.slow):
        if one is not None:
            console.print(one.line())
    console.print(_bars(found))


def document(found: Results) -> dict[str, Any]:
    """The same figures, as one JSON object."""
    return {
        "machine": found.machine,
        "commit_ms": round(found.commit_ms, 3),
        "medians": [
            {"variant": v, "clients": c, **{name: round(found.middle(v, c, f), 3) for name, f in FIGURES}}
            for v in VARIANTS
            for c in CLIENTS
            if found.rounds
        ],
        "ratios": [
            {"variant": v, "clients": c, **{name: round(found.ratio(v, c, f), 3) for name, f in FIGURES[:7]}}
            for v in VARIANTS[1:]
            for c in CLIENTS
            if found.rounds
        ],
        "runs": [_figures(run) for runs in found.rounds for run in runs],
        "history": [_figures(run) for run in found.history],
        "outage": [_figures(run) for run in found.outage],
        "neighbours": [_case(case) for case in found.neighbours],
        "hostile": None if found.hostile is None else found.hostile.document(),
        "echo": [talked.document() for talked in found.runs],
        "observability": None if found.observability is None else found.observability.document(),
        "deltas": None if found.deltas is None else found.deltas.document(),
        "idle": None if found.idle is None else found.idle.document(),
        "slow_clients": None if found.slow is None else found.slow.document(),
        "scale": None if found.scale is None else found.scale.document(),
        "backlogs": [backlog.document() for backlog in found.backlogs],
        "bars": [
            {"name": b.name, "value": round(b.value, 3), "limit": b.limit, "unit": b.unit, "reached": b.reached}
            for b in bars(found)
        ],
    }


def json_line(found: Results) -> str:
    return json.dumps(document(found), separators=(",", ":"))


def _figures(run: Run) -> dict[str, Any]:
    figures = {name: round(figure(run), 3) for name, figure in FIGURES}
    return {
        "variant": run.variant,
        "clients": run.clients,
        "batches": run.rows.rows,
        "load by": run.answers.generator,
        "via_arq": run.via.arq,
        "via_sweep": run.via.sweep,
        "slowest": round(run.rows.max_ms, 3),
        **figures,
    }


def _case(case: Case) -> dict[str, Any]:
    return {"beside": case.name, "batches": case.rows.rows} | {k: round(v, 3) for k, v in _beside(case).items()}


def _beside(case: Case) -> dict[str, float]:
    return {
        "applied p50": case.rows.p50_ms,
        "applied p99": case.rows.p99_ms,
        "slowest": case.rows.max_ms,
        "others/s": case.rate,
        "answer p50": case.answers.p50_ms,
        "answer p99": case.answers.p99_ms,
        "neighbour/s": case.noise.accepted,
        "times": case.times,
        "refused/s": case.noise.refused,
        "strangers": case.strangers,
    }


def _table(title: str, names: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _rounds(found: Results) -> Table:
    title = f"Medians of {len(found.rounds)} interleaved rounds"
    table = _table(title, ("variant", "clients", *(name for name, _ in FIGURES)))
    for variant in VARIANTS:
        for clients in CLIENTS:
            cells = (_number(found.middle(variant, clients, figure)) for _, figure in FIGURES)
            table.add_row(variant, str(clients), *cells)
        table.add_section()
    return table


def _ratios(found: Results) -> Table:
    names = tuple(name for name, _ in FIGURES[:7])
    table = _table("Over the baseline, at as many clients", ("variant", "clients", *names))
    for variant in VARIANTS[1:]:
        for clients in CLIENTS:
            cells = (f"{found.ratio(variant, clients, figure):.2f}" for _, figure in FIGURES[:7])
            table.add_row(variant, str(clients), *cells)
    return table


def _runs(title: str, runs: list[Run]) -> Table:
    table = _table(title, ("variant", "clients", *(name for name, _ in FIGURES), "slowest"))
    for run in runs:
        cells = (_number(figure(run)) for _, figure in FIGURES)
        table.add_row(run.variant, str(run.clients), *cells, _number(run.rows.max_ms))
    return table


def _neighbours(found: Results) -> Table:
    table = _table("Others, beside a bad neighbour", ("beside", *_beside(found.neighbours[0])))
    for case in found.neighbours:
        table.add_row(case.name, *map(_number, _beside(case).values()))
    return table


def _talks(found: Results) -> Table:
    """Medians, each figure by itself."""
    names = tuple(name for name, _ in TALKED)
    table = _table(
        f"Runs of echo, POST to completed: medians of {len(found.runs) // len(TALKERS)}", ("clients", *names)
    )
    for clients in TALKERS:
        table.add_row(str(clients), *(_number(found.talked(clients, figure)) for _, figure in TALKED))
    return table


def _bars(found: Results) -> Table:
    table = _table("Bars", ("", "value", "bar", ""))
    table.columns[0].justify = "left"
    for bar in bars(found):
        sense = "≥" if bar.at_least else "≤"
        verdict = "[green]reached[/]" if bar.reached else "[red]missed[/]"
        limit = f"{sense} {round(bar.limit, 1):g} {bar.unit}"
        table.add_row(bar.name, f"{_number(bar.value)} {bar.unit}", limit, verdict)
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
