"""The worker as arq sees it: `WorkerSettings` for stock tools, `ThreadmillWorker` for `python -m worker`.

`python -m arq worker.main.WorkerSettings` applies too, at arq's latency: it polls every half second.
"""

import asyncio
import logging
import signal
from typing import Any, ClassVar

import structlog
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, func
from redis.exceptions import WatchError

from shared import ids, traces
from shared.ids import ThreadId
from shared.keys import Keys
from shared.logs import configure, take_over
from shared.queue import APPLY, AWAY, EXECUTE, JOB_TIMEOUT, Queue, dump_job, load_job, open_arq
from shared.redis_urls import arq_settings, is_sentinel
from shared.settings import Settings
from shared.start import read_settings
from shared.tasks import end
from worker.crew import Crew
from worker.tracing import Tracing

log = structlog.get_logger()

POLL = 0.5  # seconds between looks of the stock loop: cron and jobs that are not ours


async def apply(ctx: dict[str, Any], partition: int) -> int:
    """The job: applies what waits in a partition; returns how many batches. Raises ValueError for what is none."""
    crew: Crew = ctx["crew"]
    if type(partition) is not int or not 0 <= partition < crew.partitions:
        raise ValueError(f"no partition: {partition!r}")
    await Queue(ctx["redis"], Keys(crew.settings.redis_prefix)).forget_mark(partition)
    return await crew.drain(partition)


async def execute(ctx: dict[str, Any], thread: str) -> None:
    """The job: offers a thread whose run waits to this worker's executor. Raises ValueError for what is no thread."""
    crew: Crew = ctx["crew"]
    crew.check()
    found = ids.parse(thread) if isinstance(thread, str) else None
    if found is None or crew.executor is None:
        raise ValueError(f"no thread: {thread!r}")
    crew.executor.desk.hear([(ids.partition_of(found, crew.partitions), ThreadId(found))])


async def start(ctx: dict[str, Any]) -> None:
    """What a stock worker does first."""
    configure(SETTINGS)
    take_over()
    ctx["traces"] = found = traces.start("threadmill-worker")
    ctx["crew"] = Crew(SETTINGS, ctx.get("roles", "apply"), None if found is None else Tracing(found))
    await ctx["crew"].start(bell=False)
    ctx["leaving"] = asyncio.create_task(_leave(ctx["crew"]))


async def _leave(crew: Crew) -> None:
    """A stock worker ends as for SIGTERM where an operator asks it to leave."""
    await crew.duty.leaving.wait()
    signal.raise_signal(signal.SIGTERM)


async def stop(ctx: dict[str, Any]) -> None:
    await end([ctx["leaving"]])
    await ctx["crew"].stop(timeout=JOB_TIMEOUT)
    if ctx["traces"] is not None:
        ctx["traces"].close()


SETTINGS = read_settings()  # arq wants values where this module is imported


def _led(queue: str) -> ArqRedis | None:
    """Our own client where there are sentinels: arq's gives them no password and no TLS options."""
    return open_arq(SETTINGS.redis_url, queue) if is_sentinel(SETTINGS.redis_url) else None


class WorkerSettings:
    """For arq's own tools. Its attributes are read from this class alone, so all of them stand here."""

    functions: ClassVar[list[Any]] = [func(apply, name=APPLY)]
    queue_name: ClassVar[str] = Keys(SETTINGS.redis_prefix).queue(APPLY)
    redis_settings: ClassVar[RedisSettings] = arq_settings(SETTINGS.redis_url)
    redis_pool: ClassVar[ArqRedis | None] = _led(queue_name)
    on_startup = start
    on_shutdown = stop
    job_serializer = staticmethod(dump_job)
    job_deserializer = staticmethod(load_job)
    max_jobs: ClassVar[int] = 64
    job_timeout: ClassVar[float] = JOB_TIMEOUT
    keep_result: ClassVar[int] = 0
    log_results: ClassVar[bool] = False


class ExecuteSettings:
    """The same for runs: `python -m arq worker.main.ExecuteSettings`. arq reads no inherited attributes."""

    functions: ClassVar[list[Any]] = [func(execute, name=EXECUTE)]
    queue_name: ClassVar[str] = Keys(SETTINGS.redis_prefix).queue(EXECUTE)
    redis_settings: ClassVar[RedisSettings] = WorkerSettings.redis_settings
    redis_pool: ClassVar[ArqRedis | None] = _led(queue_name)
    ctx: ClassVar[dict[str, Any]] = {"roles": "execute"}
    on_startup = start
    on_shutdown = stop
    job_serializer = staticmethod(dump_job)
    job_deserializer = staticmethod(load_job)
    max_jobs: ClassVar[int] = 64
    job_timeout: ClassVar[float] = JOB_TIMEOUT
    keep_result: ClassVar[int] = 0
    log_results: ClassVar[bool] = False


class ThreadmillWorker(Worker):
    """arq's Worker with its loop beside ours: wake-ups are ours, cron and other jobs are the stock loop's.

    It starts without Redis and lives through its absence.
    """

    def __init__(self, settings: Settings, roles: str, tracing: Tracing | None = None) -> None:
        self.crew = Crew(settings, roles, tracing)
        redis: ArqRedis = open_arq(settings.redis_url, Keys(settings.redis_prefix).queue(APPLY))
        super().__init__(
            functions=WorkerSettings.functions,
            queue_name=Keys(settings.redis_prefix).queue(APPLY),
            redis_pool=redis,
            handle_signals=False,
            job_timeout=JOB_TIMEOUT,
            keep_result=0,
            log_results=False,
            job_serializer=dump_job,
            job_deserializer=load_job,
            ctx={"crew": self.crew, "redis": redis},
        )
        logging.getLogger("arq.worker").setLevel(logging.WARNING)

    async def main(self) -> None:
        """Runs the crew, and arq's loop every half second, until it is cancelled or asked to leave."""
        await self.crew.start()
        while True:
            try:
                if not self.crew.duty.quiet:
                    await self._poll_iteration()
            except (*AWAY, WatchError) as error:
                log.debug("arq's loop without Redis", error=repr(error))
            except Exception:  # whatever somebody put into the queue, it must not end the worker
                log.exception("arq's loop met a job that it can't run")
            self.crew.check()
            if await self.crew.duty.left(POLL):
                return

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Leaves our wake-ups to the doorbell, which takes them by the dozen; throws out ids that are no text."""
        ours = f"{APPLY}:".encode()
        others = [job for job in job_ids if not job.startswith(ours)]
        broken = [job for job in others if not _is_text(job)]
        if broken:
            log.error("jobs whose ids are no text were thrown out", jobs=len(broken))
            await self.pool.zrem(self.queue_name, *broken)
        await super().start_jobs([job for job in others if job not in broken])

    async def close(self) -> None:
        """Ends what is in hand within the drain time-out."""
        await self.crew.stop(self.crew.settings.drain_timeout)
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await self.pool.aclose()


def _is_text(job: bytes) -> bool:
    try:
        job.decode()
    except UnicodeDecodeError:
        return False
    return True
