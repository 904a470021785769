"""Which fault comes when: drawn from a seed and nothing else, so that the same seed is the same list on every machine.

The kinds are dealt like cards, each as often as its weight, and shuffled anew when all are dealt: a run that is long
enough for one deal has had them all. A fault takes its target away for a while, by the list's own clock: until then the
next card that finds a target is dealt before it. Refused here: looking at a clock, or at what became of a fault.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

PAUSE = (0.5, 1.2)  # seconds from one fault to the next
HOUR = 3_600
POSTGRES, REDIS, DISK = "postgres", "redis", "disk"


@dataclass(frozen=True, slots=True)
class Kind:
    """`on`: `api`, `worker`, `executor` (a worker that executes), `any`, or a server's name. It `lasts` seconds, drawn
    between the two, and then spares its target for `rest` seconds."""

    name: str
    cards: int
    on: str
    lasts: tuple[float, float] = (0.0, 0.0)
    rest: float = 0.0
    link: bool = False  # of a process to Postgres or Redis


DEALT = (
    Kind("kill api", 5, "api", rest=5.0),
    Kind("kill worker", 6, "worker", rest=5.0),
    Kind("stop api", 3, "api", (0.5, 2.0), 4.0),
    Kind("stop worker", 3, "worker", (0.5, 2.0), 4.0),
    Kind("flush redis", 4, REDIS),
    Kind("kill backend", 5, POSTGRES),
    Kind("stop worker past its lease", 2, "executor", (8.0, 11.0), 4.0),  # a lease lasts 6 s
    Kind("restart redis", 2, REDIS, (0.1, 2.0), 3.0),
    Kind("stop postgres", 2, POSTGRES, (0.1, 1.0), 4.0),
    Kind("fill disk", 1, DISK, (1.0, 3.0), 4.0),
    Kind("delay link", 3, "any", (1.0, 4.0), 2.0, link=True),
    Kind("cut link", 4, "any", (0.0, 2.0), 3.0, link=True),
    Kind("silence requests", 2, "any", (1.0, 8.0), 4.0, link=True),
    Kind("silence replies", 2, "any", (1.0, 8.0), 4.0, link=True),
    Kind("lose replies", 4, "any", (0.3, 1.0), 2.0, link=True),
    Kind("turn clock", 2, "any", rest=5.0),
)
KINDS = tuple(kind.name for kind in DEALT)
WEIGHTS = tuple(kind.cards for kind in DEALT)
# A full disk stops Postgres, and nothing is to be done to it meanwhile.
_TAKES = {DISK: (POSTGRES, DISK)}


@dataclass(frozen=True, slots=True)
class Fault:
    """The `number`th of its list, `at` seconds of it; `chance` (0..1) decides what else there is to decide."""

    number: int
    at: float
    kind: str
    target: str  # a process or a server
    lasts: float
    chance: float
    server: str = ""  # of a link

    @property
    def link(self) -> str:
        return f"{self.target}:{self.server}"

    def __str__(self) -> str:
        return f"{self.kind} {self.link if self.server else self.target} {self.lasts:.1f} s"


def schedule(
    rng: random.Random,
    apis: Sequence[str],
    workers: Sequence[str],
    weights: Sequence[int] = WEIGHTS,
    executors: Sequence[str] | None = None,
) -> Iterator[Fault]:
    """One after the other, for ever; none where nothing has a weight and a target. `executors` None: all workers."""
    executing = tuple(workers if executors is None else executors)
    processes = {"api": tuple(apis), "worker": tuple(workers), "executor": executing, "any": (*apis, *workers)}
    weighed = [kind for kind, weight in zip(DEALT, weights, strict=True) for _ in range(weight)]
    kinds = [kind for kind in weighed if processes.get(kind.on, (kind.on,))]
    if not kinds:
        return
    dealer = _Dealer(rng, processes, kinds)
    at, number = 0.0, 0
    while True:
        at += rng.uniform(*PAUSE)
        if (fault := dealer.deal(number, at)) is not None:
            yield fault
            number += 1


@dataclass(slots=True)
class _Dealer:
    rng: random.Random
    processes: dict[str, tuple[str, ...]]
    kinds: list[Kind]
    deck: list[Kind] = field(default_factory=list)
    taken: dict[str, float] = field(default_factory=dict)  # target -> until when

    def deal(self, number: int, at: float) -> Fault | None:
        """The first card with a free target; None where no card has one."""
        if not self.deck:
            self.deck = self.rng.sample(self.kinds, len(self.kinds))
        for place, kind in enumerate(self.deck):
            free = [target for target in self.processes.get(kind.on, (kind.on,)) if self._is_free(target, at)]
            if free:
                del self.deck[place]
                return self._made(number, at, kind, self.rng.choice(free))
        return None

    def _is_free(self, target: str, at: float) -> bool:
        return all(self.taken.get(taken, 0.0) <= at for taken in _TAKES.get(target, (target,)))

    def _made(self, number: int, at: float, kind: Kind, target: str) -> Fault:
        lasts, chance = self.rng.uniform(*kind.lasts), self.rng.random()
        server = self.rng.choice((POSTGRES, REDIS)) if kind.link else ""
        for taken in _TAKES.get(target, (target,)):
            self.taken[taken] = at + lasts + kind.rest
        return Fault(number, round(at, 3), kind.name, target, round(lasts, 3), chance, server)
