"""What a key stands for is told only where a synchronous standby has it: also by who reads it from a pool."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from api.submission import Idempotency, InFlight
from shared.db.connect import connect
from shared.db.migrate import migrate
from shared.errors import ServiceInactive
from shared.settings import Settings
from shared.tasks import end
from tests.failover.standby import Pair
from tests.faults.waiting import until
from tests.pipeline import message, new_caller, running_inbox

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


@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
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
