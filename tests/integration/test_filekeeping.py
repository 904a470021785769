"""What nobody wants any more goes: its row first, then its bytes, then the word of it; and nothing else does."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from api.postgres import Postgres
from shared import ids
from shared.files import rows
from shared.files.directory import Directory
from shared.files.keeping import Keeping
from shared.files.pace import Pace
from shared.files.rows import NewFile
from shared.ids import AgentId, FileId
from shared.settings import Settings
from tests.pipeline import running_crew
from tests.rows import Owner, add_owner, add_thread, attach
from tests.watch import until
from worker.filekeeping import Filekeeping
from worker.upkeep import Upkeep


class Kept:
    """Files of one account, by what a test does with them."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool, owner: Owner, agent: AgentId) -> None:
        self.pool, self.owner, self.agent = pool, owner, agent
        self.root = Path(settings.files)
        self.storage = Directory(self.root)
        self.keeping = Keeping(settings, Postgres(pool), self.storage, Pace(1 << 40))
        self.sweep = Filekeeping(settings, self.storage)

    def new(self, most: int = 100) -> NewFile:
        who = (FileId(ids.mint()), self.owner.account, self.agent, self.owner.token)
        return NewFile(*who, "a.txt", "text/plain", most)

    async def add(self, data: bytes = b"0123456789") -> FileId:
        async def pieces() -> AsyncIterator[bytes]:
            yield data

        return (await self.keeping.keep(self.new(), pieces())).id

    async def expire(self, file: FileId) -> None:
        await self.pool.execute("update files set expires_at = now() - interval '1 second' where id = $1", file)

    async def state(self) -> tuple[set[str], set[str], int, int, int]:
        """Rows, files of the disk, removals that wait, and what the quota counts: files, bytes."""
        found = {row["id"] for row in await self.pool.fetch("select id from files")}
        waiting = await self.pool.fetchval("select count(*) from file_removals")
        usage = await self.pool.fetchrow(rows.SQL["usage"], self.owner.account) or (0, 0)
        return found, self.stored(), waiting, *usage

    def stored(self) -> set[str]:
        return {path.name for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
async def kept(settings: Settings, pool: asyncpg.Pool) -> AsyncIterator[Kept]:
    owner = await add_owner(pool)
    agent = AgentId(ids.mint())
    await pool.execute(
        "insert into agents (id, account, name, runner) values ($1, $2, 'echo', 'echo')", agent, owner.account
    )
    kept = Kept(settings, pool, owner, agent)
    yield kept
    await kept.sweep.close()


async def test_a_draft_whose_time_is_over_goes_and_one_in_time_stays(kept: Kept) -> None:
    old, new = await kept.add(), await kept.add()
    await kept.expire(old)
    assert await kept.sweep.run_once() == 1
    assert await kept.state() == ({new}, {new}, 0, 1, 10)
    assert await kept.sweep.run_once() == 0


async def test_an_upload_that_never_ended_gives_its_room_back(kept: Kept) -> None:
    new = kept.new(most=77)
    await rows.begin(Postgres(kept.pool), new, 100, -1.0)
    assert (await kept.state())[3:] == (1, 77)
    await kept.sweep.run_once()
    assert await kept.state() == (set(), set(), 0, 0, 0)


async def test_an_upload_that_ends_behind_its_time_leaves_nothing(kept: Kept) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"0123456789"
        await kept.pool.execute("update files set expires_at = now() - interval '1 second'")
        await kept.sweep.run_once()

    with pytest.raises(Exception, match="took too long"):
        await kept.keeping.keep(kept.new(), slow())
    await kept.sweep.run_once()
    assert await kept.state() == (set(), set(), 0, 0, 0)


async def test_a_storage_that_is_away_is_asked_again_later(kept: Kept, settings: Settings, tmp_path: Path) -> None:
    files = [await kept.add() for _ in range(3)]
    for file in files:
        await rows.remove(Postgres(kept.pool), file, kept.owner.account)

    (tmp_path / "none").write_text("no directory", encoding="utf-8")
    away = Filekeeping(settings, Directory(tmp_path / "none"))
    assert await away.run_once() == 0
    await away.close()
    later = "select bool_and(next_try_at > now() + interval '10 seconds') and count(*) = 3 from file_removals"
    assert await kept.pool.fetchval(later)
    assert await kept.sweep.run_once() == 0  # not before its time
    await kept.pool.execute("update file_removals set next_try_at = now()")
    assert await kept.sweep.run_once() == 3
    assert await kept.state() == (set(), set(), 0, 0, 0)


async def test_more_files_than_a_page_go_in_one_sweep(kept: Kept) -> None:
    await kept.pool.execute(
        "insert into files (id, account, agent, token, kind, name, mime_type, size, expires_at)"
        " select gen_random_uuid(), $1, $2, $3, 'attachment', 'a', 'a/b', 1, now() - interval '1 hour'"
        " from generate_series(1, 250)",
        *(kept.owner.account, kept.agent, kept.owner.token),
    )
    assert await kept.sweep.run_once() == 250


async def test_a_deleted_threads_files_go_with_its_rows(kept: Kept, settings: Settings, redis: Redis) -> None:
    thread = await add_thread(kept.pool, kept.owner)
    gone, stays = await kept.add(), await kept.add()
    await attach(kept.pool, thread.id, gone)
    await kept.pool.execute("update threads set deleted_at = now() - interval '1 minute' where id = $1", thread.id)
    upkeep = Upkeep(settings, redis, 64)
    await upkeep.purge_once()
    await upkeep.close()
    await kept.sweep.run_once()
    assert await kept.state() == ({stays}, {stays}, 0, 1, 10)


async def test_a_worker_sweeps_by_itself(kept: Kept, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.filekeeping.INTERVAL", 0.01)
    await kept.expire(await kept.add())

    async def swept() -> bool:
        return await kept.state() == (set(), set(), 0, 0, 0)

    async with running_crew(settings):
        await until(swept, 5)
