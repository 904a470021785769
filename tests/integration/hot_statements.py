"""Hot statements with arguments for tables that `fill` filled, and the indexes that each may go by."""

from datetime import UTC, datetime

from shared import ids
from tests.integration import statements_given
from tests.integration.statements_given import ACCOUNT, MANY, THREAD

FIRST = 1_000_000_000  # message of all
CHAIN = {"messages_by_number", "messages_pkey", "runs_pkey"}
NOUNS = (
    *("inbox", "drain", "load", "write", "said", "sweep", "execute", "briefing"),
    *("reads", "stream", "messages", "numbers", "answers", "runs"),
)
FILL = """
insert into accounts (id, name) select '00000000-0000-0000-0000-000000000001', 'acme';
insert into threads (partition, id, account, origin_application, created_by, created_by_kind)
select n % 64, lpad(to_hex(n), 32, '0')::uuid, '00000000-0000-0000-0000-000000000001',
       case n % 2 when 1 then 'mine' end, gen_random_uuid(), 'human_pat'
from generate_series(1, {many}) n;
insert into batches (partition, id, ref, thread, account, token, events, accepted_at, applied_at, outcome)
select n % 64, nextval('batch_ids'), gen_random_uuid(), lpad(to_hex(n), 32, '0')::uuid,
       '00000000-0000-0000-0000-000000000001', gen_random_uuid(), '[]', now() - interval '1 hour',
       case when n % {every} = 0 then null else now() end, case when n % {every} = 0 then null else '{{}}' end
from generate_series(1, {many}) n;
insert into batches (partition, id, ref, thread, account, token, events, accepted_at, blocked)
select n % 64, nextval('batch_ids'), gen_random_uuid(), lpad(to_hex(n), 32, '0')::uuid,
       '00000000-0000-0000-0000-000000000001', gen_random_uuid(), '[]', now() - interval '1 hour', true
from generate_series({many} / 2, {many} * 3 / 4) n;
insert into idempotency_keys (token, key, route, hash, partition, batch)
select token, id::text, '', '', partition, id from batches;
insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at, completed_at)
select 1, lpad('1', 32, '0')::uuid, gen_random_uuid(), n, 'completed', 'system', now(), now(), now(), now()
from generate_series(1, {many}) n;
insert into runs (partition, thread, id, seq, status, trigger, input, created_at, updated_at)
select 1, thread, thread, 0, 'queued', 'user_prompt', array[thread], now(), now()
from (select lpad('1', 32, '0')::uuid as thread) t;
insert into thread_events (partition, thread, id, type, occurred_at)
select 1, lpad('1', 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 'agent.message.delta', now()
from generate_series(1, {many}) n;
insert into messages (partition, thread, id, role, parts, run, created_at)
select 1, lpad('1', 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, 'user', '[]',
       case when n > 10 then gen_random_uuid() end, now()
from generate_series(1, {many}) n;
insert into runs (partition, thread, id, seq, status, trigger, input, created_at, started_at, updated_at, completed_at)
select n % 64, thread, thread, 1, 'completed', 'user_prompt', array[thread], now(), now(), now(), now()
from (select n, lpad(to_hex(n), 32, '0')::uuid as thread from generate_series(2, {many}) n) t;
insert into messages (partition, thread, id, role, parts, created_at)
select n % 64, thread, thread, 'user', '[]', now()
from (select n, lpad(to_hex(n), 32, '0')::uuid as thread from generate_series(2, {many}) n) t;
insert into leases (partition, thread, run, owner, expires_at, deadline)
select n % 64, thread, thread, thread, now(), now() + interval '1 hour'
from (select n, lpad(to_hex(n), 32, '0')::uuid as thread from generate_series(1, {many}) n) t;
insert into permission_requests (partition, thread, id, run, title, created_at, expires_at)
select n % 64, lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), gen_random_uuid(), '', now(), now() + interval '1 day'
from generate_series(1, {many}) n;
insert into permission_requests (partition, thread, id, run, state, title, created_at, decided_at)
select 1, lpad('1', 32, '0')::uuid, gen_random_uuid(), gen_random_uuid(), 'allowed', '', now(), now()
from generate_series(1, {many}) n;
insert into thread_numbers (partition, thread) select partition, id from threads;
insert into accounts (id, name) values (lpad('2', 32, '0')::uuid, 'globex');
insert into threads (partition, id, account, created_by, created_by_kind)
select 2, gen_random_uuid(), lpad('2', 32, '0')::uuid, gen_random_uuid(), 'human_pat' from generate_series(1, 20) n;
update permission_requests set expires_at = now() - interval '30 minutes'
where thread in (select lpad(to_hex(n + {many} / 2), 32, '0')::uuid from generate_series(-50, 50) n);
update threads set ready_at = now() where id <> lpad('1', 32, '0')::uuid;
"""

SMALL = ids.from_bytes((2).to_bytes(16, "big"))  # an account of 20 threads, without numbers
NUM = 1_000_000_000

Case = tuple[str, str, tuple[object, ...], set[str]]  # noun, name, arguments, indexes


def fill(many: int = MANY, every: int = 200) -> str:
    """Statements that give each table so many rows, most of them of one thread in partition 1; of the batches one in
    `every` waits.
    """
    return FILL.format(many=many, every=every)


def cases(many: int = MANY) -> list[Case]:
    """What is asked of one thread is asked of `THREAD`, in partition 1."""
    late = ids.from_bytes((many - 5).to_bytes(16, "big"))
    return [
        ("inbox", "accept", statements_given.accept(), {"threads_pkey"}),
        ("inbox", "judge", ([ACCOUNT], ["k"], ["r"], [b"d"]), {"idempotency_keys_pkey", "batches_pkey"}),
        ("inbox", "find", ([1], [ACCOUNT]), {"batches_by_ref", "threads_pkey"}),
        ("inbox", "outcomes", ([1], [1]), {"batches_pkey"}),
        (
            "drain",
            "read",
            ([1, 8], 10, ACCOUNT, 64, ACCOUNT, [], False, False, 16, 4, 4 << 20),
            {"batches_waiting", "batches_retrying", "threads_pkey"},
        ),
        (
            "drain",
            "read",
            (list(range(64)), 2, "0" * 26, 64, ACCOUNT, [], True, True, 16, 4, 10),
            {"batches_waiting", "batches_retrying", "threads_pkey"},
        ),
        ("drain", "keep_traces", ([1], [THREAD], [ACCOUNT], ["00-1-2-01"]), {"runs_pkey"}),
        ("drain", "read_one", (1, 1), {"batches_pkey", "threads_pkey"}),
        ("load", "lock_threads", ([1], [THREAD]), {"threads_pkey"}),
        ("load", "threads", ([1], [THREAD], [3], 101), {"threads_pkey", "agents_pkey", "runs_active"}),
        ("load", "named_runs", ([1], [THREAD], [ACCOUNT]), {"runs_pkey"}),
        (
            "load",
            "permission_requests",
            ([1], [THREAD], [1], [THREAD], [ACCOUNT]),
            {"permission_requests_open", "permission_requests_pkey"},
        ),
        (
            "said",
            "edit_messages",
            ([1], [THREAD], [ACCOUNT], ["text"]),
            {"runs_pkey", "messages_pkey", "messages_by_number", "thread_events_pkey"},
        ),
        (
            "said",
            "turn_messages",
            ([1], [THREAD], [ACCOUNT], [ACCOUNT]),
            {"messages_pkey", "messages_by_number", "thread_events_pkey"},
        ),
        (
            "write",
            "insert_runs",
            statements_given.made(),
            {"runs_pkey", "messages_unanswered", "messages_aside", "messages_pkey", "messages_by_number"},
        ),
        ("said", "amend_message", (1, THREAD, late, "{}"), {"messages_pkey", "messages_by_number"}),
        ("write", "amend_thread", (1, THREAD, None, "{}"), {"threads_pkey"}),
        ("load", "message_notes", ([1], [THREAD], [late]), {"messages_pkey", "runs_one_executing"}),
        ("load", "thread_notes", ([1], [THREAD]), {"threads_pkey"}),
        ("load", "waiting_messages", ([1], [THREAD]), {"messages_unanswered"}),
        (
            "said",
            "remove_message",
            (1, THREAD, late),
            {"messages_pkey", "messages_by_number", "messages_following", "runs_pkey", "thread_events_pkey"},
        ),
        ("drain", "unblock", ([1], [THREAD]), {"batches_blocked", "batches_pkey"}),
        ("sweep", "late", (0.5, [7], None), {"batches_waiting"}),
        ("sweep", "late", (0.5, [7], ACCOUNT), {"batches_waiting"}),
        ("sweep", "forget_batches", (1, 24.0, 100, 0), {"batches_pkey", "idempotency_keys_by_batch"}),
        ("sweep", "expired_requests", (), {"permission_requests_due", "batches_waiting", "batches_blocked"}),
        (
            "sweep",
            "still_expired",
            ([THREAD], [THREAD], 1),
            {"permission_requests_pkey", "threads_pkey", "batches_waiting", "batches_blocked"},
        ),
        ("sweep", "tombstones", (), {"threads_to_purge"}),
        (
            "sweep",
            "forget_threads",
            (24.0,),
            {"threads_to_forget", "threads_pkey", "batches_blocked", "thread_numbers_thread_key"},
        ),
        ("sweep", "gone", ([1], [1]), {"batches_pkey"}),
        ("sweep", "unrung", (2.0, 10, [1], [ACCOUNT], [0]), {"batches_waiting"}),
        ("reads", "events_after", (1, THREAD, late, 100), {"thread_events_pkey"}),
        ("reads", "events_after", (1, THREAD, None, 100), {"thread_events_pkey"}),
        ("reads", "events_before", (1, THREAD, None, 100), {"thread_events_pkey"}),
        ("reads", "deltas_before", (1, THREAD, late, 100, [ACCOUNT]), {"thread_events_pkey"}),
        ("reads", "thread", (1, THREAD, ACCOUNT), {"threads_pkey"}),
        ("reads", "metadata", (1, THREAD, ACCOUNT), {"threads_pkey"}),
        ("runs", "newest", (1, THREAD, THREAD, late, 20), {"runs_pkey"}),
        ("runs", "oldest", (1, THREAD, THREAD, late, 20), {"runs_pkey"}),
        ("runs", "one", (1, THREAD, THREAD), {"runs_pkey"}),
        (
            "runs",
            "open_requests",
            (1, THREAD, THREAD, 100),
            {"permission_requests_by_run", "permission_requests_open"},  # the latter has few of a thread
        ),
        ("messages", "newest", (1, THREAD, 0, 2**62, 20, 2**22), {"messages_by_number"}),
        ("messages", "oldest", (1, THREAD, 500, 2**62, 20, 2**22), {"messages_by_number"}),
        ("messages", "newest_of_run", (1, THREAD, 0, 2**62, 20, 2**22, late), {"messages_by_run"}),
        ("messages", "oldest_of_run", (1, THREAD, 0, 2**62, 20, 2**22, late), {"messages_by_run"}),
        ("messages", "one", (1, THREAD, late), {"messages_pkey"}),
        ("messages", "numbered", (1, THREAD, 500), {"messages_by_number"}),
        ("numbers", "thread", (NUM, ACCOUNT), {"thread_numbers_pkey", "threads_pkey"}),
        ("numbers", "described", (NUM, ACCOUNT), {"thread_numbers_pkey", "threads_pkey"}),
        ("numbers", "listed", (SMALL, 100), {"threads_by_agent", "thread_numbers_thread_key"}),
        ("numbers", "listed", (ACCOUNT, 100), {"threads_by_agent", "thread_numbers_thread_key"}),
        ("numbers", "listed_of", (ACCOUNT, 100, "mine"), {"threads_by_application", "thread_numbers_thread_key"}),
        ("numbers", "listed_of", (ACCOUNT, 100, "nobody's"), {"threads_by_application", "thread_numbers_thread_key"}),
        ("numbers", "number", ([1], [THREAD]), {"thread_numbers_thread_key"}),
        ("numbers", "numbers", ([THREAD],), {"thread_numbers_thread_key"}),
        ("answers", "run", (1, THREAD, THREAD), {"runs_pkey", "messages_pkey", "threads_pkey"}),
        ("answers", "said", (1, THREAD, THREAD, datetime.now(UTC), 1_000, 2**23), {"messages_by_run"}),
        ("answers", "runs_of", (1, THREAD, [THREAD, late]), {"permission_requests_pkey"}),
        ("inbox", "blocked", (1, 1), {"batches_pkey"}),
        ("inbox", "oldest", (20,), {"batches_waiting"}),
        ("answers", "requests_of", (1, THREAD, [THREAD]), {"runs_pkey", "messages_pkey"}),
        ("reads", "agent_named", (ACCOUNT, "echo"), set()),
        ("briefing", "lineage", (1, THREAD, FIRST + many - 5, 20, 20, [THREAD], 2**22), CHAIN),
        ("execute", "lock_free", ([1], [THREAD]), {"threads_pkey"}),
        ("execute", "lease", ([1], [THREAD], [THREAD], ACCOUNT, 6, 60), {"threads_pkey", "runs_pkey", "agents_pkey"}),
        ("execute", "let_go", ([1], [THREAD], [1]), {"leases_pkey", "threads_pkey"}),
        ("execute", "beat", ([1], [THREAD], [1], 6.0), {"leases_pkey", "runs_pkey", "steers_open"}),
        ("execute", "still_out", ([1], [THREAD]), {"leases_pkey"}),
        ("execute", "ready", (0.5, 10, "0" * 26, 64), {"threads_ready_by_account", "leases_pkey"}),
        (
            "briefing",
            "briefing",
            ([1], [THREAD], [THREAD], [1]),
            {"threads_pkey", "runs_pkey", "agents_pkey", "messages_pkey", "permission_requests_by_run"},
        ),
        ("briefing", "tail", (1, THREAD, THREAD, late), {"thread_events_pkey"}),
        (
            "briefing",
            "history",
            (1, THREAD, 0, 20, [THREAD], 0, 20, datetime.now(UTC), 2**22),
            {"messages_by_number", "runs_pkey"},
        ),
        ("briefing", "ended_messages", (1, THREAD, THREAD), {"messages_by_run"}),
        ("execute", "own", (ACCOUNT, 0.5), {"leases_by_owner", "runs_pkey"}),
        ("execute", "count_losses", ([1], [THREAD], [THREAD]), {"runs_pkey"}),
        ("execute", "waiting", ([1], [THREAD]), {"threads_pkey", "leases_pkey"}),
        ("briefing", "offers", ([1], [THREAD], [THREAD]), {"steers_open", "messages_pkey"}),
        ("execute", "logged", ([1], [THREAD], [late], [THREAD], ["x"]), {"thread_events_pkey"}),
        ("write", "write", statements_given.written(), {"threads_pkey", "runs_pkey", "batches_pkey"}),
        ("write", "keep_deadline", ([1], [THREAD], [1]), {"leases_pkey", "runs_pkey"}),
        (
            "said",
            "keep_cut_messages",
            ([1], [THREAD], [THREAD], [late], ["why"], [datetime.now(UTC)]),
            {"thread_events_pkey", "messages_pkey", "messages_by_run", "runs_pkey"},
        ),
        ("said", "say", statements_given.said(), {"messages_pkey", "messages_by_run", "runs_pkey", "leases_pkey"}),
        ("write", "settle_threads", ([1], [THREAD], [ACCOUNT], [False], [None], [None]), {"threads_pkey"}),
        ("load", "steers", ([1], [THREAD]), {"steers_open"}),
        ("load", "client_requests", ([1], [THREAD], ["x"]), {"client_requests_pkey"}),
    ]
