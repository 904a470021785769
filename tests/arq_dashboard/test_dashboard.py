"""arq-dashboard, as it comes from PyPI, shows the wake-ups of a live service: unchanged, and with our few lines."""

import asyncio
import hashlib
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy import children, embedded, ports
from shared.db.connect import connect
from shared.keys import Keys
from shared.queue import APPLY, EXECUTE, Queue, open_redis
from shared.settings import Settings
from tests.pipeline import Caller, message, new_caller, running_crew, running_inbox
from tests.watch import until

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(180), pytest.mark.xdist_group("dashboard")]

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "docs" / "examples"


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of its venv, which is kept: it lies in ours, by the hash of its lock file."""
    lock = HERE / "requirements.lock"
    home = Path(sys.prefix) / f"arq-dashboard-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    made = home / "made"
    if not made.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        install = ("install", "--quiet", "--require-hashes", "-r", str(lock))
        subprocess.run([home / "bin" / "pip", *install], check=True, timeout=150)
        made.touch()
    return home / "bin" / "python"


@pytest.fixture
async def alone(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """A service whose Redis is its own: the dashboard knows arq's names only, without a prefix."""
    redis = await embedded.start_redis(tmp_path, ports.pick(), secrets.token_hex(8))
    yield settings.model_copy(update={"redis_url": redis.url, "redis_prefix": "", "sweep": False})
    await children.end(redis.process, redis.command)


def words(log: Path) -> str:
    return log.read_text(encoding="utf-8")


class Dashboard:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def read(self, path: str, queue: str = "arq:queue") -> Any:
        async with self._session.get(f"{self._url}{path}", headers={"arq-queue-name": queue}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def jobs(self, queue: str = "arq:queue") -> dict[str, tuple[str, str, list[Any]]]:
        """Of each job its status, function and arguments."""
        found = (await self.read("/api/jobs/", queue))["jobs"]
        return {job["jobId"]: (job["status"], job["function"], job["args"]) for job in found}


@asynccontextmanager
async def dashboard(python: Path, settings: Settings, app: str, log: Path) -> AsyncIterator[Dashboard]:
    port = ports.pick()
    environment = {
        "ARQ_DASHBOARD_REDIS_URL": settings.redis_url,
        "ARQ_DASHBOARD_CACHE_TTL": "1",
        "PATH": "/usr/bin:/bin",
    }
    arguments = ("-m", "uvicorn", "--factory", app, "--host", "127.0.0.1", "--port", str(port), "--app-dir", EXAMPLES)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            python, *map(str, arguments), env=environment, stdout=output, stderr=output, cwd=log.parent
        )
        try:
            async with aiohttp.ClientSession() as session:

                async def answers() -> bool:
                    assert process.returncode is None, words(log)
                    try:
                        async with session.get(f"http://127.0.0.1:{port}/api/queues/") as answer:
                            return answer.status == 200
                    except aiohttp.ClientError:
                        return False

                await until(answers, 30)
                yield Dashboard(session, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            await process.wait()
    assert "Traceback" not in words(log)


async def test_the_dashboard_as_it_comes_shows_what_is_queued_and_in_progress(
    python: Path, alone: Settings, tmp_path: Path
) -> None:
    async with (
        running_inbox(alone) as inbox,
        dashboard(python, alone, "arq_dashboard.main:create_app", tmp_path / "log") as board,
    ):
        partitions = await wait_for_a_worker(await new_caller(inbox))
        jobs = await board.jobs()
        assert {int(job.split(":")[1]) for job in jobs} == partitions
        unread = "unknown (unable to deserialize job)"  # it unpickles; what is JSON it can't read, and says so
        assert set(map(str, jobs.values())) == {str(("queued", unread, []))}
        stats = await board.read("/api/stats/")
        assert (stats["queuedJobs"], stats["inProgressJobs"], stats["notFoundJobs"]) == (len(partitions), 0, 0)
        assert await board.read("/api/functions/") == [{"name": unread}]
        await while_a_worker_works(alone, board, partitions)


async def test_with_our_lines_the_dashboard_reads_both_queues_and_their_arguments(
    python: Path, alone: Settings, tmp_path: Path
) -> None:
    async with (
        running_inbox(alone) as inbox,
        dashboard(python, alone, "dashboard:create_app", tmp_path / "log") as board,
    ):
        caller = await new_caller(inbox)
        partitions = await wait_for_a_worker(caller)
        jobs = await board.jobs()
        assert {(status, function, args[0]) for status, function, args in jobs.values()} == {
            ("queued", APPLY, partition) for partition in partitions
        }
        thread = (await caller.create(message(), wait=0))[0]
        queue = Queue(open_redis(alone.redis_url, 1), Keys())
        await queue.call([thread])
        await queue.close()
        assert list((await board.jobs("arq:queue:execute")).values()) == [("queued", EXECUTE, [thread])]
        assert await board.read("/api/functions/") == [{"name": APPLY}]


async def wait_for_a_worker(caller: Caller) -> set[int]:
    """Batches of some threads, with nobody who applies them; returns their partitions."""
    threads = [(await caller.create(message(), wait=0))[0] for _ in range(6)]
    rows = await caller.inbox.pool.fetch("select distinct partition from threads where id = any($1)", threads)
    redis = open_redis(caller.inbox.settings.redis_url, 1)

    async def rung() -> bool:
        return bool(await redis.zcard(Keys().queue(APPLY)) == len(rows))

    await until(rung)
    await redis.aclose()
    return {row["partition"] for row in rows}


async def while_a_worker_works(settings: Settings, board: Dashboard, partitions: set[int]) -> None:
    """Its drain waits for a lock of ours, so its jobs are in its hands for as long as we look; then they are gone."""
    connection = await connect(settings.database_url)
    await connection.execute(f"select pg_advisory_lock(1, {min(partitions)})")

    async def in_hand() -> bool:
        return bool((await board.read("/api/stats/"))["inProgressJobs"])

    async def gone() -> bool:
        return not await board.jobs()

    async with running_crew(settings):
        await until(in_hand, 20)
        assert "in_progress" in {status for status, _, _ in (await board.jobs()).values()}
        await connection.execute(f"select pg_advisory_unlock(1, {min(partitions)})")
        await until(gone, 20)
    await connection.close()
