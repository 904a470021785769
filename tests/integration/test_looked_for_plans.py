"""A page of threads or runs reads what it shows, wherever in the list it lies and whatever else there is."""

from datetime import datetime

import asyncpg
import pytest

from shared import ids
from shared.ids import AccountId
from shared.inspect.page import FIRST, LAST
from tests.plans import explained, rows_read
from tests.rows import add_owner

MANY = 30_000  # a plan that reads them all is as far from one that reads a page as with millions
TABLES = ("threads", "runs", "permission_requests", "leases", "batches", "thread_events", "tokens")
# Of each thread a run that waits or failed, an open request, a lease that ran out, an applied batch. One has much of
# everything: events, runs, requests, batches that are applied or behind a hold. Its account has as much waiting of
# another thread beside it, and as many tokens.
FILL = """
insert into threads (partition, id, account, title, client_external_ref, held, created_by, created_by_kind, updated_at,
                     created_at, ready_at)
select n % 64, gen_random_uuid(), '{account}', 'title ' || n,
       case n % 3 when 0 then 'same' when 1 then 'ref ' || n end, n % 2 = 0, gen_random_uuid(), 'human_pat',
       '2026-01-01'::timestamptz + make_interval(secs => n), '2026-01-01',
       now() - make_interval(secs => 100 + n % 10000)
from generate_series(1, {many}) n;
insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at, completed_at)
select partition, id, id, 1, case when held then 'queued' else 'failed' end, 'user_prompt', now(),
       case when not held then now() end, now(), case when not held then now() end
from threads;
insert into permission_requests (partition, thread, id, run, title, created_at)
select partition, id, id, id, 'May I?', now() from threads;
insert into leases (partition, thread, run, owner, expires_at, taken_at)
select partition, id, id, id, now(), now() - interval '1 day' from threads;
insert into batches (partition, id, ref, thread, account, token, events, applied_at, outcome)
select partition, nextval('batch_ids'), gen_random_uuid(), id, account, id, '[]', now(), '{{}}' from threads;
insert into thread_events (partition, thread, id, run, type, content, occurred_at)
select 1, ('8' || repeat('0', 31))::uuid, lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), 'run.progress', 'a',
       now()
from generate_series(1, {many}) n;
insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at, completed_at)
select 1, ('8' || repeat('0', 31))::uuid, lpad(to_hex(n), 32, '0')::uuid, n, 'completed', 'user_prompt', now(), now(),
       now(), now()
from generate_series(1, {many}) n;
insert into permission_requests (partition, thread, id, run, state, title, created_at, decided_at)
select 1, ('8' || repeat('0', 31))::uuid, lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), 'allowed', 'May I?', now(),
       now()
from generate_series(1, {many}) n;
insert into batches (partition, id, ref, thread, account, token, events, blocked, applied_at, outcome)
select 1, nextval('batch_ids'), gen_random_uuid(), (thread || repeat('0', 31))::uuid, '{account}', gen_random_uuid(),
       '[]', blocked, case when applied then now() end, case when applied then '{{}}' end
from (values ('8', false, true), ('8', true, false), ('9', false, false)) b (thread, blocked, applied)
cross join generate_series(1, {many});
insert into tokens (id, account, kind, digest, prefix, revoked_at)
select gen_random_uuid(), '{account}', case n % 2 when 0 then 'human_pat' else 'service_token' end,
       sha256(n::text::bytea), 'mst_', case when n % 3 = 0 then now() end
from generate_series(1, {many}) n;
"""


@pytest.mark.slow
async def test_a_page_of_many_threads_reads_what_it_shows(pool: asyncpg.Pool) -> None:
    account = (await add_owner(pool)).account
    await pool.execute(FILL.format(account=ids.to_bytes(account).hex(), many=MANY))
    for analyzed in (False, True):
        if analyzed:
            await pool.execute("analyze")
        for noun, name, arguments, most in cases(account):
            plan = await explained(pool, noun, name, *arguments)
            read = sum(max(rows_read(plan, table), default=0) for table in TABLES)
            assert read <= most, (analyzed, noun, name, read, plan)


def cases(account: AccountId) -> list[tuple[str, str, tuple[object, ...], float]]:
    ago, now = datetime.fromisoformat("2026-01-01T05:00:00+00:00"), datetime.fromisoformat("2036-01-01T00:00:00+00:00")
    thread, middle = (ids.from_bytes(number.to_bytes(16, "big")) for number in (1 << 127, MANY // 2))
    return [
        ("search", "newest", (None, 51, 51, None, None, None), 2 * 64 * 51),
        ("search", "newest", (thread, 51, 51, None, None, None), 2 * 64 * 51),
        ("search", "newest", (None, 312, 51, "title 77", None, None), 64 * 312 + 60),
        ("search", "changed", (account, None, None, thread, 51, 51, None, None, None), 110),
        ("search", "changed", (account, None, ago, thread, 51, 51, None, None, None), 110),
        ("search", "changed", (account, None, None, thread, 20_000, 51, "nothing", None, None), 20_000),
        ("search", "held", (None, 51, 51, None), 110),
        ("search", "held", (thread, 51, 51, None), 110),
        ("search", "referred", ("same", None, None, 51, None), 60),
        ("search", "referred", ("same", account, thread, 51, account), 60),
        ("search", "referred", ("ref 7", None, None, 51, None), 3),
        ("running", "active", (None, None, None, 51, None), 60),
        ("running", "active", (30, thread, 1, 51, None), 60),
        ("running", "asking", (None, None, 51), 60),
        ("running", "asking", (now, thread, 51), 60),
        ("running", "unanswered", (None, None, 51, -3_600.0), 120),
        ("running", "unanswered", (ago, thread, 51, -3_600.0), 120),
        ("running", "ready", (None, None, 51, 30.0), 3 * 64),
        ("running", "ready", (ago, thread, 51, 30.0), 3 * 64),
        ("running", "failed", (None, None, 51), 60),
        ("running", "failed", (now, thread, 51), 60),
        ("running", "of_thread", (1, thread, None, 51), 51),
        ("running", "of_thread", (1, thread, middle, 51), 51),
        ("running", "of_status", (1, thread, middle, 51, "failed", 2_000), 2_000),
        ("running", "leased", (None, None, 1_000, 51, 5.0, 10.0, thread, 300.0), 3_000),
        ("timeline", "batches", (1, thread, thread, None, 5_000, 51, 4_096), 51),
        ("timeline", "batches", (1, thread, account, None, 5_000, 51, 4_096), 5_000),
        ("timeline", "batches", (1, thread, account, 2 * MANY, 5_000, 51, 4_096), 5_000),
        ("timeline", "runs", (1, thread, None, 51), 51),
        ("timeline", "runs", (1, thread, middle, 51), 51),
        ("timeline", "requests", (1, thread, None, 51), 51),
        ("timeline", "requests", (1, thread, middle, 51), 51),
        ("timeline", "events", (1, thread, None, 51, 500), 51),
        ("timeline", "events", (1, thread, middle, 51, 500), 51),
        ("timeline", "said", (1, thread, thread, FIRST, LAST, 200, 500), 200),
        ("timeline", "said_before", (1, thread, thread, FIRST, LAST, 200), 200),
        ("timeline", "said_before", (1, thread, thread, FIRST, middle, 200), 200),
        ("limits", "executing", (account, 10_000), 2 * 10_000),
        ("limits", "of_tokens", (account, ["human_pat", "service_token"], 1_001), 2_002),
    ]
