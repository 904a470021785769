"""The fast way to work: wait for the bell, claim wake-ups, drain their partitions.

Without Redis this loop only tries again; the sweep works meanwhile.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import structlog

from shared.crashpoints import crash
from shared.db.connect import AWAY as POSTGRES_AWAY
from shared.logs import Seldom
from shared.metrics import POSTGRES_ERRORS, REDIS_ERRORS
from shared.queue import APPLY, AWAY, Queue, WakeUp
from shared.tasks import Rest, about
from worker.duty import Duty
from worker.lanes import Lanes
from worker.pace import pause
from worker.write import Disturbed

log = structlog.get_logger()
warn = Seldom(log)

NAP = 1.0  # seconds without a bell after which wake-ups are looked for all the same
PAUSE = 0.5  # seconds after an error of Redis or Postgres
CLAIM_TIMEOUT = 2.0  # seconds
SOON = 0.001  # seconds; a bell that is heard within them rang while the worker worked


class _GivenUp(Exception):
    """A drain that Postgres ended; its cause is why. Postgres and Redis may raise the same where they are away."""


@dataclass(slots=True)
class Doorbell:
    queue: Queue  # for claims
    bell: Queue  # a client of its own: a blocking wait holds its connection
    lanes: Lanes
    partitions: int
    duty: Duty = field(default_factory=Duty)
    workers: int = 1  # at work on batches, this one among them: each takes its share
    place: int = 0  # of this one among them: whose share is whose
    _rest: Rest = field(default_factory=Rest)
    _applied: int = 0  # batches, by the last drain
    _crowded: bool = False  # there is likely more to claim right behind a drain: the bell is not waited for

    def stop(self) -> None:
        """Lets `run` end what is in hand, and nothing more."""
        self.lanes.stopping = True
        self._rest.end()

    async def run(self) -> None:
        """Works until it is told to stop, then ends what is in hand."""
        began = float("-inf")
        while not self.lanes.stopping:
            if self.duty.quiet:
                await self._rest.of(self.duty.working.wait)
                continue
            try:
                before, began = began, asyncio.get_running_loop().time()
                worked = await self.run_once()
                if self.lanes.busy:
                    continue
                if worked and self._crowded:
                    await self._gather(began, began - before)
                else:
                    await self._listen()
            except _GivenUp as error:
                POSTGRES_ERRORS.labels("drain").inc()
                warn("a drain was given up; the sweep takes it", error=repr(error.__cause__))
                await asyncio.sleep(about(PAUSE))
            except AWAY as error:
                REDIS_ERRORS.labels("claim").inc()
                warn("no wake-ups without Redis; the sweep works", error=repr(error))
                await asyncio.sleep(PAUSE)
        await self.lanes.finish()

    async def _listen(self) -> None:
        """Waits for the bell. One that rang while the worker worked says that others will, too."""
        time = asyncio.get_running_loop().time
        started = time()
        rung = await self._rest.of(partial(self.bell.wait, APPLY, NAP))
        self._crowded = bool(rung) and time() - started < SOON

    async def _gather(self, began: float, cycle: float) -> None:
        """Lets batches come before the next drain, where other workers drain meanwhile."""
        seconds = asyncio.get_running_loop().time() - began
        rest = pause(seconds, self._applied, self.workers, cycle=cycle, awaited=self.lanes.pace.awaited)
        if rest and not self.lanes.pace.short:
            await self._rest.of(partial(asyncio.sleep, rest))

    async def run_once(self) -> bool:
        """Claims and drains a share of the wake-ups, beside a backlog that was left; False where there is neither."""
        async with asyncio.timeout(CLAIM_TIMEOUT):
            share = -(-self.partitions // self.workers)
            wake_ups = await self.queue.claim(share, self.place, self.workers)
        if not wake_ups and not self.lanes.busy:
            return False
        crash("worker.after_claim")
        for refused in (wake_up for wake_up in wake_ups if wake_up.partition is None):
            log.error("a job in the queue is not ours, refused", job=refused.job)
        await self._work(wake_ups)
        return True

    async def _work(self, wake_ups: list[WakeUp]) -> None:
        try:
            self._applied = await self.lanes.drain({w.partition for w in wake_ups if w.partition is not None})
        except (*POSTGRES_AWAY, asyncpg.PostgresError, Disturbed) as error:
            raise _GivenUp from error
        finally:
            self.lanes.aftermath.finish(wake_ups)

    async def close(self) -> None:
        await self.lanes.close()
        await self.bell.close()
