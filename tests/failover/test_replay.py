"""What pools read and write is told as accepted only where a synchronous standby has it: replays, files."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from api.postgres import Writes
from api.standby import heard
from api.submission import Idempotency, InFlight
from shared import ids
from shared.db.connect import connect, open_pool
from shared.db.migrate import migrate
from shared.errors import ServiceInactive
from shared.files.directory import Directory
from shared.files.keeping import Keeping
from shared.files.pace import Pace
from shared.files.rows import NewFile
from shared.ids import FileId
from shared.settings import Settings
from shared.tasks import end
from tests.failover.standby import Pair
from tests.faults.waiting import until
from tests.pipeline import message, new_caller, running_inbox
from tests.variants import one_of

KEY = Idempotency("once", "POST /x", b"d" * 32)
BACK = 15.0  # seconds


async def _keyed(db: asyncpg.Connection) -> bool:
    """Ends waits for the standby, as whoever restarts or cancels does, until the request with the key can be read."""
    await db.execute("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
    return bool(await db.fetchval("select count(*) from idempotency_keys where key = $1", KEY.key))


async def _again_and_again(db: asyncpg.Connection) -> None:
    while True:
        await _keyed(db)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("again", one_of(True, False), ids=["again and again", "once"])
async def test_a_replay_of_what_the_standby_lacks_is_not_told_though_it_can_be_read(
    tmp_path: Path, redis_url: str, settings: Settings, again: bool
) -> None:
    async with Pair(tmp_path) as pair:
        db = await connect(pair.url)
        await migrate(db)
        settings = settings.model_copy(update={"database_url": pair.url, "redis_url": redis_url})
        async with running_inbox(settings) as inbox:
            caller = await new_caller(inbox)
            thread, _ = await caller.create(wait=0)
            sent = caller.submission(thread, [message()], reply=False)._replace(idempotency=KEY)
            pair.stop_sending()
            sending = asyncio.create_task(inbox.submit(sent, 0))
            await until("its wait is broken off, so it can be read", lambda: _keyed(db), BACK)
            breaking = [asyncio.create_task(_again_and_again(db))] if again else []
            with pytest.raises(ServiceInactive):
                await inbox.recall(caller.token, KEY)
            with pytest.raises(ServiceInactive):
                await sending
            await end(breaking)
            db.terminate()
            await pair.kill_primary()
            await pair.promote()

            async def unknown() -> bool:
                try:
                    return await inbox.recall(caller.token, KEY) is None
                except ServiceInactive:
                    return False

            await until("the new primary, which lacks it, is asked", unknown, BACK)
            await inbox.submit(sent, 0)
            assert isinstance(await inbox.recall(caller.token, KEY), InFlight), "it is told where it is kept"


@pytest.mark.long
async def test_a_file_that_the_standby_lacks_is_not_told_though_it_is_ready(
    tmp_path: Path, redis_url: str, settings: Settings
) -> None:
    """Its wait is broken off, and so is that of the commit behind it."""
    async with Pair(tmp_path) as pair:
        db = await connect(pair.url)
        await migrate(db)
        settings = settings.model_copy(update={"database_url": pair.url, "redis_url": redis_url})
        writes = await open_pool(pair.url, bound=heard)
        async with running_inbox(settings) as inbox:
            caller = await new_caller(inbox)
        keeping = Keeping(settings, Writes(writes), Directory(Path(settings.files)), Pace(1 << 40))
        new = NewFile(FileId(ids.mint()), caller.account, caller.agent, caller.token, "a.txt", "text/plain", 5)
        assert (await keeping.keep(replace(new, id=FileId(ids.mint())), _pieces())).size == 5, "while all is well"
        breaking = []

        async def late() -> AsyncIterator[bytes]:
            pair.stop_sending()
            breaking.append(asyncio.create_task(_again_and_again(db)))
            yield b"01234"

        with pytest.raises(ServiceInactive):
            await keeping.keep(new, late())
        await end(breaking)
        assert await db.fetchval("select ready from files where id = $1", new.id), "it can be read"
        db.terminate()
        writes.terminate()


async def _pieces() -> AsyncIterator[bytes]:
    yield b"01234"
