"""Dead letters put into the inbox by hand, with their errors, and what is left of them."""

import asyncpg

from shared.failures import kind_of
from shared.ids import BatchId
from tests.rows import Owner, a_message, add_batch, add_thread


async def parked(pool: asyncpg.Pool, owner: Owner, error: str, text: str = "hello") -> BatchId:
    thread = await add_thread(pool, owner, held=True)
    batch = await add_batch(pool, owner, thread, a_message(text), parked=True)
    await pool.execute(
        "update batches set error = $2, error_kind = $3, stack = $4 where id = $1",
        *(batch, error, kind_of(error), 'File "worker/apply.py", line 7, in _apply\n    events = load(batch)'),
    )
    return batch


async def left(pool: asyncpg.Pool) -> set[BatchId]:
    return {
        row["id"]
        for row in await pool.fetch("select id from batches where parked_at is not null and applied_at is null")
    }
