"""What a fault run came to, what all of them did, and whether enough happened for that to mean something."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import ceil
from typing import Any

from tests.faults.injector import Hit
from tests.faults.recovery import spread
from tests.faults.schedule import KINDS
from tests.faults.users.verdict import A_MINUTE
from tests.faults.violations import Kind, Violation

# What a minute of load must bring at least, on a machine that is slow or busy with other things, too.
ACKNOWLEDGED_A_MINUTE = 2_500
LONG, OF_THE_LONG_RUN = 20, 5_000  # so many minutes or more are the long run, which asks for so many a minute
FAULTS_A_MINUTE = 50
RETRIES_A_MINUTE = 600  # a machine with a load of 9 on two cores had 3,900
ALL_KINDS = 1.5  # minutes in which every kind of fault must have come: more than one deal of them takes
COUNTED = ("sent", "acknowledged", "unknown", "repeats", "retries")


@dataclass(frozen=True, slots=True)
class Report:
    """One run. `wanted` is for how many seconds it was to go on, None where batches were counted instead."""

    seed: int
    wanted: float | None
    violations: Sequence[Violation]
    sent: int
    acknowledged: int
    unknown: int
    repeats: int
    retries: int
    hits: Sequence[Hit]
    recoveries: Mapping[int, float]  # number of the fault -> seconds
    missed: Counter[str]
    seconds: float
    quiet_after: float
    users: Mapping[str, int] | None = None  # how often each thing of theirs happened; None where there were none

    @property
    def kinds(self) -> Counter[Kind]:
        return Counter(violation.kind for violation in self.violations)

    @property
    def faults(self) -> Counter[str]:
        return Counter(hit.fault.kind for hit in self.hits)

    def recovered(self, kind: str) -> list[float]:
        """Seconds after each fault of a kind."""
        own = (hit.fault.number for hit in self.hits if hit.fault.kind == kind)
        return [self.recoveries[number] for number in own if number in self.recoveries]

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "seed": self.seed,
                **{name: getattr(self, name) for name in COUNTED},
                "faults": dict(self.faults),
                "missed": dict(self.missed),
                "users": dict(self.users or {}),
                "seconds": round(self.seconds, 1),
                "quiet_after": round(self.quiet_after, 1),
                **{kind.value: self.kinds[kind] for kind in Kind},
            }
        )

    def log(self) -> str:
        """Each fault on a line of JSON: what was to be, and what was; times in seconds, of the machine's clock."""
        return "".join(
            json.dumps(
                {
                    "number": hit.fault.number,
                    "at": hit.fault.at,
                    "kind": hit.fault.kind,
                    "target": hit.fault.link if hit.fault.server else hit.fault.target,
                    "lasts": hit.fault.lasts,
                    "began": round(hit.began, 3),
                    "ended": round(hit.ended, 3),
                    "note": hit.note,
                    "recovery": self.recoveries.get(hit.fault.number),
                }
            )
            + "\n"
            for hit in sorted(self.hits, key=lambda hit: hit.fault.number)
        )


def least_of(rate: float, minutes: float) -> int:
    """So many must have come: of a short run one at least, of what need not come in a minute none."""
    return ceil(rate * minutes) if rate >= 1 else int(rate * minutes)


@dataclass(slots=True)
class Summary:
    """All runs of one command. `skipped`: kinds that this machine can't have, and why; `clock`: what turned clocks."""

    skipped: dict[str, str] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    clock: str = ""

    @property
    def minutes(self) -> float:
        return sum(report.wanted or 0.0 for report in self.reports) / 60

    @property
    def faults(self) -> Counter[str]:
        return sum((report.faults for report in self.reports), Counter())

    @property
    def users(self) -> Counter[str]:
        """How often each thing of theirs happened."""
        return sum((Counter(report.users or {}) for report in self.reports), Counter())

    @property
    def violations(self) -> int:
        return sum(len(report.violations) for report in self.reports)

    @property
    def too_quiet(self) -> list[str]:
        """What happened less often than it must, in proportion to the minutes of all seeds."""
        long = self.minutes >= LONG
        wanted: tuple[tuple[str, int, float], ...] = (
            ("acknowledged", self._total("acknowledged"), OF_THE_LONG_RUN if long else ACKNOWLEDGED_A_MINUTE),
            ("faults", self.faults.total(), FAULTS_A_MINUTE),
            ("retries", self._total("retries"), RETRIES_A_MINUTE),
        )
        if any(report.users is not None for report in self.reports):
            wanted += tuple((name, self.users[name], rate) for name, rate in A_MINUTE.items())
        least = [(name, had, least_of(rate, self.minutes)) for name, had, rate in wanted]
        if self.minutes >= ALL_KINDS:
            least += [(kind, self.faults[kind], 1) for kind in KINDS if kind not in self.skipped]
        return [f"too quiet: {name}: {had} of {few}" for name, had, few in least if had < few]

    def line(self) -> str:
        """One line of JSON: the totals, and what came after each kind of fault."""
        recovery = {
            kind: spread(seconds)
            for kind in KINDS
            if (seconds := list(chain(*(report.recovered(kind) for report in self.reports))))
        }
        totals: dict[str, Any] = {
            "seeds": len({report.seed for report in self.reports}),
            "minutes": round(self.minutes, 2),
            **{name: self._total(name) for name in COUNTED},
            "faults": self.faults.total(),
            "users": dict(self.users),
            **{kind.value: sum(report.kinds[kind] for report in self.reports) for kind in Kind},
            "quiet_after": round(max((report.quiet_after for report in self.reports), default=0.0), 1),
            "recovery": recovery,
            "skipped": dict(self.skipped),
            "clock": self.clock,
        }
        return json.dumps(totals)

    def _total(self, name: str) -> int:
        return int(sum(getattr(report, name) for report in self.reports))
