"""Threads and runs looked for on the command line, and what happened to one told."""

import asyncpg
import pytest

from tests.e2e.command_line import Threadmill
from tests.rows import Owner, add_batch, add_thread

pytestmark = pytest.mark.timeout(60)


async def test_threads_are_found_page_by_page_and_told(
    pool: asyncpg.Pool, owner: Owner, threadmill: Threadmill
) -> None:
    threads = [await add_thread(pool, owner) for _ in range(3)]
    await pool.execute("update threads set title = 'Refund \x1b[31m 7', client_external_ref = 'order 7'")
    batch = await add_batch(pool, owner, threads[0])
    first = (await threadmill("thread", "find", "--title", "refund", "--limit", "2", "--json")).document
    rest = (await threadmill("thread", "find", "--title", "refund", "--after", first["after"], "--json")).document
    found = [thread["id"] for thread in (*first["threads"], *rest["threads"])]
    assert (found, rest["after"]) == ([thread.id for thread in reversed(threads)], None)
    listed = (await threadmill("thread", "list", "--limit", "2", "--json")).document
    assert ([thread["id"] for thread in listed["threads"]], listed["after"] is None) == (found[:2], False)
    assert (await threadmill("thread", "list", "--after", listed["after"], "--json")).document["after"] is None
    assert "\x1b" not in (await threadmill("thread", "find", "--external-ref", "order 7")).out
    told = (await threadmill("thread", "timeline", threads[0].id, "--json")).document
    assert [(one["kind"], one["step"]["batch"]["id"]) for one in told["timeline"]] == [("batch", batch)]
    assert "user_message: hello" in (await threadmill("thread", "timeline", threads[0].id)).out
    await pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, updated_at)"
        " select partition, id, id, 1, 'queued', 'system', now(), now() from threads where id = $1",
        threads[0].id,
    )
    await pool.execute("update threads set ready_at = now() - interval '1 hour' where id = $1", threads[0].id)
    assert "queued for" in (await threadmill("thread", "timeline", threads[0].id)).out
    await pool.execute("update runs set status = 'running', started_at = now(), updated_at = now()")
    goes_on = (await threadmill("thread", "timeline", threads[0].id)).out
    assert ("took" in goes_on, ", for " in goes_on) == (False, True)
    await pool.execute("update runs set status = 'queued', started_at = null")
    stuck = (await threadmill("run", "list", "--stuck", "--json")).document
    assert [(run["id"], run["stuck"]) for run in stuck["runs"]] == [(threads[0].id, "ready")]
    assert "more than 30 s" in (await threadmill("run", "list", "--stuck")).out
    assert (await threadmill("run", "list", "--waiting", "--json")).document == {"runs": [], "after": None}


async def test_what_is_asked_wrong_is_one_line(owner: Owner, threadmill: Threadmill) -> None:
    wrong: list[tuple[list[str], int]] = [
        (["thread", "find", "--held", "--title", "x"], 2),
        (["thread", "find", "--title", "x" * 201], 2),
        (["thread", "find", "--after", "nonsense"], 2),
        (["thread", "timeline", "nothing"], 1),
        (["run", "list", "--stuck", "--failed"], 2),
        (["run", "list", "--stuck", "--thread", "x"], 2),
        (["run", "list", "--status", "completed"], 2),
    ]
    for arguments, code in wrong:
        ended = await threadmill(*arguments)
        assert (ended.code, ended.err.count("\n")) == (code, 1), ended
