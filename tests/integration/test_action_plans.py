"""What an operator's deed on one thread or letter costs is the same beside any backlog: as a session plans it that was
there from the first day, and as one plans it that knows the tables.
"""

import asyncpg
import pytest

from shared import ids
from shared.settings import Settings
from tests.prepared import execute, session

ROWS = """
insert into accounts (id, name) values (lpad('1', 32, '0')::uuid, 'acme');
insert into threads (partition, id, account, created_by, created_by_kind, held)
select n % 64, lpad(to_hex(n), 32, '0')::uuid, lpad('1', 32, '0')::uuid, gen_random_uuid(), 'human_pat', true
from generate_series(1, 4000) n;
insert into batches (partition, id, ref, thread, account, token, events, blocked, parked_at, applied_at, outcome)
select n % 64, n, gen_random_uuid(), lpad(to_hex(n % 4000), 32, '0')::uuid, lpad('1', 32, '0')::uuid, gen_random_uuid(),
       '[]', n % 3 > 0, case when n <= 4000 and n % 3 > 0 then now() end, case when n % 3 = 0 then now() end,
       case when n % 3 = 0 then '{}' end
from generate_series(1, 40000) n;
insert into runs (partition, thread, id, seq, status, trigger, created_at, updated_at)
select n % 4000 % 64, lpad(to_hex(n % 4000), 32, '0')::uuid, gen_random_uuid(), n, 'queued', 'retry', now(), now()
from generate_series(1, 12000) n;
"""
NUMBER = 1_000  # a letter whose thread has the same number
PARTITION = NUMBER % 64
MOST = 40  # rows of the batches that one deed may look at: its thread has ten


@pytest.mark.slow
async def test_a_deed_reads_its_thread_and_its_letter_and_no_more(pool: asyncpg.Pool, settings: Settings) -> None:
    nouns = ("holds", "deadletters", "actions")
    thread = ids.from_bytes(NUMBER.to_bytes(16, "big"))
    deeds: tuple[tuple[str, str, tuple[object, ...]], ...] = (
        ("holds", "lift", (PARTITION, thread)),
        ("holds", "find", (PARTITION, thread)),
        ("deadletters", "parked", (PARTITION, NUMBER)),
        ("deadletters", "replay", (PARTITION, NUMBER)),
        ("deadletters", "discard", (PARTITION, NUMBER, "{}")),
        ("deadletters", "pass", (PARTITION, NUMBER)),
        ("actions", "threads_of", ([PARTITION], [NUMBER], True)),
        ("actions", "account_of", (PARTITION, NUMBER)),
        ("actions", "open_retry", (PARTITION, thread, thread)),
    )
    early = await session(settings.database_url, "force_generic_plan", *nouns)
    await pool.execute(ROWS)
    await _assert_few(early, deeds)
    await early.close()
    await pool.execute("analyze")
    for mode in ("force_generic_plan", "force_custom_plan"):
        connection = await session(settings.database_url, mode, *nouns)
        await _assert_few(connection, deeds)
        await connection.close()


async def _assert_few(connection: asyncpg.Connection, deeds: tuple[tuple[str, str, tuple[object, ...]], ...]) -> None:
    for noun, name, arguments in deeds:
        done = await execute(connection, noun, name, *arguments)
        assert done.looked_at <= MOST, (name, [scan for scan in done.scans if scan.read + scan.removed > 1])
        assert done.buffers <= 600, (name, done)
