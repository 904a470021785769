"""A thread with 500,000 messages and 125,001 runs, and every way to go through them by HTTP.

Of every four messages the first is a question, the second its run's answer, the third is said by one run that talks all
the time, and the fourth is the user's again. Of the runs the talker is the oldest one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

from shared import ids
from shared.ids import ThreadId
from tests.pipeline import PARTITIONS
from tests.service import Client

MANY = 500_000  # messages
FOURS = MANY // 4
TALKER = 1  # the number of its id
PAGE = 100
FIRST = 1_000_000_000  # the thread's number
NUM = 2_000_000_000  # what the numbers of the messages begin behind
OTHERS = 1_000  # threads with a few messages each, in the same partition

ID_OF = (
    "create function pg_temp.id_of(bigint) returns uuid immutable language sql return lpad(to_hex($1), 32, '0')::uuid"
)
THREADS = """
with made as (
    insert into threads (partition, id, account, created_by, created_by_kind)
    select $1, case n when 0 then $2::uuid else pg_temp.id_of(n) end, $3, $3, 'human_pat'
    from generate_series(0, $4::int) n
    returning partition, id
)
insert into thread_numbers (partition, thread) select partition, id from made order by id = $2 desc
"""
MESSAGES = """
insert into messages (partition, thread, id, num, role, parts, run, created_at)
select $1, $2, pg_temp.id_of(n), $3::bigint + n, case when n % 4 in (2, 3) then 'assistant' else 'user' end,
       jsonb_build_array(jsonb_build_object('type', 'text', 'text', repeat('x', 100))),
       pg_temp.id_of(case n % 4 when 1 then n + 1 when 2 then n when 3 then $4 else n - 2 end), now()
from generate_series(1, $5::int) n
"""
RUNS = """
insert into runs (partition, thread, id, seq, status, trigger, input, created_at, started_at, updated_at, completed_at)
select $1, $2, pg_temp.id_of(case n when 0 then $4 else 4 * n - 2 end), n, 'completed', 'user_prompt',
       array[pg_temp.id_of(greatest(4 * n - 3, 1))], now(), now(), now(), now()
from generate_series(0, $3::int) n
"""
MESSAGES_BESIDE = """
insert into messages (partition, thread, id, num, role, parts, run, created_at)
select $1, pg_temp.id_of(1 + n % $2), pg_temp.id_of(n), $3::bigint + n, 'user', '[]', pg_temp.id_of(n), now()
from generate_series(1, 20 * $2::int) n
"""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to go through what a thread has: the page behind the n-th entry, and the ids on that page."""

    path: Callable[[int], str]
    shown: Callable[[int], list[Any]]
    last: int  # behind how many entries the last page begins


async def fill(client: Client, db: asyncpg.Connection, fours: int = FOURS) -> ThreadId:
    """Makes the thread, and threads beside it; with fewer messages where `forms` are not asked for."""
    thread = ThreadId(ids.mint())
    partition = ids.partition_of(thread, PARTITIONS)
    place = (partition, thread)
    await db.execute(ID_OF)
    await db.execute(THREADS, *place, client.account, OTHERS)
    await db.execute(MESSAGES, *place, NUM, TALKER, 4 * fours)
    await db.execute(RUNS, *place, fours, TALKER)
    await db.execute(MESSAGES_BESIDE, partition, OTHERS, NUM + MANY)
    return thread


def id_of(n: int) -> str:
    return ids.from_bytes(n.to_bytes(16, "big"))


def forms(thread: ThreadId) -> dict[str, Form]:
    openai, native = f"/v1/threads/{thread}", f"/api/v1/threads/{thread}"
    numbered = f"/api/v2/cortex/threads/{FIRST}?page_size={PAGE}"
    found = {
        "cortex": _pages(numbered, lambda n: NUM + MANY + 1 - n, MANY, "last_message_id"),
        "native runs": _pages(f"{native}/runs?limit={PAGE}", _newest_run, FOURS, "after"),
        "native run": _single(f"{native}/runs", _newest_run, FOURS),
        "openai run": _single(f"{openai}/runs", _newest_run, FOURS),
        "openai message": _single(f"{openai}/messages", _newest, MANY),
        "aiml messages": _pages(f"/threads/{thread}/messages?limit={PAGE}", _newest, MANY, "after"),
    }
    for cursor in ("after", "before"):
        found |= {f"openai {name}, {cursor}": _pages(*about, cursor) for name, about in _lists(openai).items()}
    return found


def _lists(openai: str) -> dict[str, tuple[str, Callable[[int], str], int]]:
    """Path, n-th entry and number of entries of each list, in each order."""
    newest, oldest = f"limit={PAGE}&order=desc", f"limit={PAGE}&order=asc"
    said = f"{openai}/messages?run_id={id_of(TALKER)}&"
    return {
        "messages, newest first": (f"{openai}/messages?{newest}", _newest, MANY),
        "messages, oldest first": (f"{openai}/messages?{oldest}", id_of, MANY),
        "messages of a run, newest first": (f"{said}{newest}", lambda n: id_of(MANY + 3 - 4 * n), FOURS),
        "messages of a run, oldest first": (f"{said}{oldest}", lambda n: id_of(4 * n - 1), FOURS),
        "runs, newest first": (f"{openai}/runs?{newest}", _newest_run, FOURS),
        "runs, oldest first": (f"{openai}/runs?{oldest}", _oldest_run, FOURS),
    }


def _newest(n: int) -> str:
    return id_of(MANY + 1 - n)


def _newest_run(n: int) -> str:
    return id_of(MANY + 2 - 4 * n)


def _oldest_run(n: int) -> str:
    return id_of(TALKER if n == 1 else 4 * n - 6)


def _pages(path: str, at: Callable[[int], Any], count: int, cursor: str) -> Form:
    """Of a list whose n-th entry is `at(n)`. `before` names what follows a page, other cursors what precedes it."""

    def query(n: int) -> str:
        place = n + PAGE + 1 if cursor == "before" else n
        return f"{path}&{cursor}={at(place)}" if place else path

    last = count - PAGE - (cursor == "before")
    return Form(query, lambda n: [at(m) for m in range(n + 1, n + PAGE + 1)], last)


def _single(path: str, at: Callable[[int], str], count: int) -> Form:
    return Form(lambda n: f"{path}/{at(n + 1)}", lambda n: [at(n + 1)], count - 1)
