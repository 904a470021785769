"""What others feel of a bad neighbour: 100 batches a second of one account, alone and beside each kind of trouble.

`alone`; beside another `account` that sends as fast as 64 clients get answers; the same with 25 a second of the others,
so that it sends a `hundred` times as much on a machine that takes 2,500 a second; beside one that does the same and is
`limited` to ten times the others' rate, so that most of it is refused; beside a `thread` of the same account
that gets the same load, in the partition of one of the others; beside a `held` thread with 200 batches waiting and
batches that fail until they are parked, in such partitions too. Judged is accepted → applied of the others alone, from
their rows. Each case has accounts and threads of its own, and what it leaves in the inbox goes with it.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from bench import cpu
from bench.load import Answers, Load, drive
from bench.measure import ASYNC, PATIENCE, Say, warm_up
from bench.subjects import Owner, Service
from bench.verify import Tally, Unsound, tally, verify_counts
from shared.audit import Actor, Via
from shared.inspect.actions.limits import limit_account

OTHERS = 50  # threads: most share no partition with the trouble, some do
RATE = 100.0  # batches a second of the others together
QUARTER = RATE / 4  # the same, where the neighbour is to send a hundred times as much
CLIENTS = 16  # so that a slow answer does not hold the next request back
LONGER = 2  # times the usual length: at 100 batches/s a p99 is that of a few batches
LEAD = 0.5  # seconds by which the trouble begins before the others, and ends after them

HUNDRED = "hundred"
NOISE = 64  # clients of the bad neighbour
NOISY_THREADS = 1_000
LIMIT = 10 * RATE  # requests a second that the limited one may send
HELD = 200  # batches behind the hold
POISON = 5  # batches that cannot be applied, each in a thread of its own; parked 3 s later
INTERRUPT = '[{"type":"user_interrupt"}]'
UNREADABLE = "null"


@dataclass(frozen=True, slots=True)
class Scene:
    """The others of one case, and how long their neighbour is to make trouble, seconds."""

    service: Service
    owner: Owner
    threads: list[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Batches a second of the trouble."""

    accepted: float = 0.0
    refused: float = 0.0  # by its limit


@dataclass(frozen=True, slots=True)
class Case:
    """The others' figures beside one kind of trouble, and `noise`, what the trouble was."""

    name: str  # alone | account | hundred | limited | thread | held
    rate: float  # batches a second of the others
    answers: Answers
    rows: Tally
    noise: Noise
    strangers: float  # cores that neither the service nor its clients used

    @property
    def times(self) -> float:
        """How much the neighbour sent of what the others did."""
        return self.noise.accepted / self.rate


async def measure_neighbours(service: Service, seconds: float, say: Say) -> list[Case]:
    """All cases, `alone` first. Raises Unsound, LoadError, TimeoutError."""
    cases: list[Case] = []
    await service.reset()
    await service.start()
    try:
        await warm_up(service)
        for name in TROUBLES:
            rate = QUARTER if name == HUNDRED else RATE
            cases.append(await _measure(service, name, rate, LONGER * seconds * RATE / rate))
            say(line(cases[-1]))
    finally:
        await service.stop()
        await service.reset()
    return cases


def line(case: Case) -> str:
    """One case on one line, for the progress on standard error."""
    rows = case.rows
    return (
        f"others beside {case.name:>7}: {rows.rows} batches, applied {rows.p50_ms:.1f}/{rows.p99_ms:.1f} ms, slowest"
        f" {rows.max_ms:.1f} ms, answer p99 {case.answers.p99_ms:.1f} ms; the neighbour: {case.noise.accepted:.0f}/s"
        f" ({case.times:.0f}x the others) and {case.noise.refused:.0f}/s refused"
    )


async def _measure(service: Service, name: str, rate: float, seconds: float) -> Case:
    """One case, from an empty inbox, its rows verified."""
    await service.reset()
    owner = await service.add_owner("others")
    scene = Scene(service, owner, await service.add_threads(OTHERS, owner), seconds + 2 * LEAD)
    load = Load(service.port, owner.token, scene.threads, CLIENTS, seconds, ASYNC, rate=rate)
    before, started = _spent(service), time.monotonic()
    answers, noise = await asyncio.gather(_in_the_midst(load), TROUBLES[name](scene))
    await service.until_settled(PATIENCE)
    strangers = (_spent(service) - before) / (time.monotonic() - started)
    await _verify_left(service, name)
    rows = await tally(service.db, scene.threads)
    verify_counts(rows, answers, load)
    return Case(name, rate, answers, rows, noise, max(0.0, strangers))


async def _in_the_midst(load: Load) -> Answers:
    await asyncio.sleep(LEAD)
    return await drive(load)


def _spent(service: Service) -> float:
    """CPU seconds of the machine that neither the service nor a load generator that has ended used."""
    now, own = cpu.snapshot(service.roots), os.times()
    return now.machine - sum(now.groups.values()) - own.children_user - own.children_system


async def _verify_left(service: Service, name: str) -> None:
    """What was held still waits, what was poison is parked, and nothing else is left. Raises Unsound."""
    left = dict(await service.db.fetchrow(service.tables["left"]))
    expected = {"held": HELD, "parked": POISON} if name == "held" else {"held": 0, "parked": 0}
    if left != expected:
        raise Unsound(f"beside {name}: {left} are left, not {expected}")


async def _nobody(scene: Scene) -> Noise:
    return Noise()


async def _account(scene: Scene) -> Noise:
    return await _noise(scene, *await _another(scene))


async def _limited(scene: Scene) -> Noise:
    owner, threads = await _another(scene)
    actor = Actor("the bench", Via.CLI)
    await limit_account(scene.service.db, actor, owner.account, rate=LIMIT)
    return await _noise(scene, owner, threads, refused=True)


async def _thread(scene: Scene) -> Noise:
    return await _noise(scene, scene.owner, await _beside(scene, 1))


async def _another(scene: Scene) -> tuple[Owner, list[str]]:
    owner = await scene.service.add_owner("noisy")
    return owner, await scene.service.add_threads(NOISY_THREADS, owner)


async def _noise(scene: Scene, owner: Owner, threads: list[str], *, refused: bool = False) -> Noise:
    """As much as the clients can send; as many interrupts as messages, so that no queue of runs fills up."""
    load = Load(scene.service.port, owner.token, threads, NOISE, scene.seconds, ASYNC, messages=45, interrupts=45)
    answers = await drive(load)
    if bool(answers.refused) != refused or answers.broken:
        raise Unsound(f"the neighbour: {answers.refused} answers refused, {answers.broken} broken")
    return Noise(answers.answers / answers.seconds, answers.refused / answers.seconds)


async def _held(scene: Scene) -> Noise:
    """A full queue behind a hold, and poison that comes one by one over the first half of the time."""
    held, *poisoned = await _beside(scene, 1 + POISON)
    await scene.service.db.execute(scene.service.tables["hold"], held)
    await scene.service.add_batches(scene.owner, held, INTERRUPT, HELD)
    for thread in poisoned:
        await scene.service.add_batches(scene.owner, thread, UNREADABLE, 1)
        await asyncio.sleep(scene.seconds / 2 / POISON)
    return Noise((HELD + POISON) / scene.seconds)


async def _beside(scene: Scene, count: int) -> list[str]:
    """More threads of the others' account, each in the partition of one of theirs."""
    places = [scene.service.partition_of(thread) for thread in scene.threads[:count]]
    return await scene.service.add_threads(count, scene.owner, places)


TROUBLES: dict[str, Callable[[Scene], Coroutine[None, None, Noise]]] = {
    "alone": _nobody,
    "account": _account,
    HUNDRED: _account,
    "limited": _limited,
    "thread": _thread,
    "held": _held,
}
