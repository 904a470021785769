"""What a whole bench run found: medians over its rounds, and ratios within each round.

Machines drift between rounds; so a ratio is taken inside each round first, and the median of the ratios counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.backlog import Backlog
from bench.hostile import Figures
from bench.measure import Run
from bench.neighbours import Case

Figure = Callable[[Run], float]


@dataclass(slots=True)
class Results:
    """Filled part by part; what was not asked for stays empty."""

    machine: str
    commit_ms: float
    rounds: list[list[Run]] = field(default_factory=list)
    backlog: Backlog | None = None
    history: list[Run] = field(default_factory=list)
    outage: list[Run] = field(default_factory=list)
    neighbours: list[Case] = field(default_factory=list)
    hostile: Figures | None = None

    def middle(self, variant: str, clients: int, figure: Figure) -> float:
        """The median over the rounds."""
        return median(figure(_find(runs, variant, clients)) for runs in self.rounds)

    def ratio(self, variant: str, clients: int, figure: Figure) -> float:
        """The median over the rounds of the ratio to the baseline at as many clients."""
        return median(
            figure(_find(runs, variant, clients)) / figure(_find(runs, "baseline", clients)) for runs in self.rounds
        )

    @property
    def service_runs(self) -> list[Run]:
        return [run for runs in self.rounds for run in runs if run.variant != "baseline"]

    def history_ratio(self, figure: Figure) -> float:
        """Long over empty: the median over the interleaved pairs."""
        pairs = zip(self.history[::2], self.history[1::2], strict=True)
        return median(figure(long) / figure(empty) for empty, long in pairs)


def _find(runs: Sequence[Run], variant: str, clients: int) -> Run:
    return next(run for run in runs if (run.variant, run.clients) == (variant, clients))
