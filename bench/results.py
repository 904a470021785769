"""What a whole bench run found: medians over its rounds, and ratios within each round.

Machines drift between rounds; so a ratio is taken inside each round first, and the median of the ratios counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.backlog import Backlog
from bench.deltas import Ages
from bench.hostile import Figures
from bench.idle import Idle
from bench.measure import Run
from bench.neighbours import Case
from bench.observability import Cost
from bench.runs import Talked
from bench.scale import Scale
from bench.slow import Slow

Figure = Callable[[Run], float]


@dataclass(slots=True)
class Results:
    """Filled part by part; what was not asked for stays empty."""

    machine: str
    commit_ms: float
    rounds: list[list[Run]] = field(default_factory=list)
    backlogs: list[Backlog] = field(default_factory=list)
    history: list[Run] = field(default_factory=list)
    outage: list[Run] = field(default_factory=list)
    neighbours: list[Case] = field(default_factory=list)
    hostile: Figures | None = None
    runs: list[Talked] = field(default_factory=list)
    observability: Cost | None = None
    deltas: Ages | None = None
    idle: Idle | None = None
    slow: Slow | None = None
    scale: Scale | None = None

    def middle(self, variant: str, clients: int, figure: Figure) -> float:
        """The median over the rounds."""
        return median(figure(_find(runs, variant, clients)) for runs in self.rounds)

    def ratio(self, variant: str, clients: int, figure: Figure) -> float:
        """The median over the rounds of the ratio to the baseline at as many clients."""
        return median(
            figure(_find(runs, variant, clients)) / figure(_find(runs, "baseline", clients)) for runs in self.rounds
        )

    def talked(self, clients: int, figure: Callable[[Talked], float]) -> float:
        """The median over the conversations of so many clients."""
        return median(figure(one) for one in self.runs if one.clients == clients)

    @property
    def service_runs(self) -> list[Run]:
        return [run for runs in self.rounds for run in runs if run.variant != "baseline"]

    def history_ratio(self, figure: Figure) -> float:
        """Long over empty: the median over the interleaved pairs."""
        pairs = zip(self.history[::2], self.history[1::2], strict=True)
        return median(figure(long) / figure(empty) for empty, long in pairs)


def _find(runs: Sequence[Run], variant: str, clients: int) -> Run:
    return next(run for run in runs if (run.variant, run.clients) == (variant, clients))
