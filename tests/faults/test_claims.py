"""A process that is gone between two steps of a claim: the file is a draft, or the thread's, and nothing in between."""

import asyncio
from pathlib import Path

import pytest

from shared.crashpoints import CRASHED
from tests.faults.filing import DATA, Filing, filing
from tests.faults.processes import Member, Stack
from tests.faults.waiting import until
from tests.variants import one_of

COMMITTED = ("api.after_commit", "api.after_ring")
APPLYING = ("worker.before_commit", "worker.after_commit")


async def uploaded(s: Filing, member: Member) -> str:
    file = await s.upload(member)
    assert file is not None
    return file


async def is_draft(s: Filing, file: str) -> bool:
    """Nothing of the batch is there."""
    assert await s.db.fetchval("select count(*) from batches") == await s.db.fetchval("select count(*) from threads")
    assert await s.db.fetchval("select count(*) from idempotency_keys") == await s.db.fetchval(
        "select count(*) from batches"
    )
    return bool(
        await s.db.fetchval(
            "select thread is null and partition is null and ref is null and expires_at is not null"
            " and not exists (select from batches) from files where id = $1",
            file,
        )
    )


async def is_claimed(s: Filing, file: str) -> bool:
    """By the one batch that there is, for its thread."""
    return bool(
        await s.db.fetchval(
            "select count(*) = 1 and bool_and(b.ref = f.ref and t.id = f.thread and f.expires_at is null)"
            " from batches b join threads t on t.partition = b.partition and t.id = b.thread"
            " join files f on f.partition = t.partition and f.thread = t.id where f.id = $1",
            file,
        )
    )


async def settles(s: Filing, member: Member, file: str) -> None:
    """The same request again, until it is answered as applied; the file is its thread's for good, and goes with it."""

    async def applied() -> bool:
        answer = await s.create(member, file)
        assert answer is not None
        assert answer[0] in (201, 409), answer
        return answer[0] == 201 and "warnings" not in answer[1]

    await until("the create is applied", applied)
    answer = await s.create(member, file)
    assert answer is not None
    thread = answer[1]["thread"]["id"]
    other = await s.create(member, file, "another")
    assert other is not None
    assert (other[0], other[1]["error"]["message"]) == (400, f"Attachment {file} is attached already.")
    await s.pass_time()
    assert await is_claimed(s, file)
    assert await s.of_thread(member, thread) == [(file, True)]
    assert await s.content(member, file) == DATA
    parts = await s.db.fetch("select parts->1->>'file' as file from messages")
    assert [row["file"].upper() for row in parts] == [file], "one message, with its file"
    await s.delete(member, file)
    await s.pass_time()
    assert await s.nothing_is_left()


async def test_a_claim_whose_api_was_killed_before_the_commit_leaves_a_draft(stack: Stack, tmp_path: Path) -> None:
    healthy, broken = (stack.api(files=str(tmp_path), testing=testing) for testing in ("", "crash:api.before_commit"))
    await stack.ready(healthy, broken)
    async with filing(stack, tmp_path) as s:
        file, swept = await uploaded(s, healthy), await uploaded(s, healthy)
        assert await s.create(broken, file) is None
        assert await broken.died() == CRASHED
        assert await is_draft(s, file)
        stack.worker(files=str(tmp_path))
        assert await s.content(healthy, swept) == DATA
        await settles(s, healthy, file)


@pytest.mark.parametrize("point", one_of(*COMMITTED))
async def test_a_claim_whose_api_was_killed_behind_the_commit_is_whole(
    stack: Stack, tmp_path: Path, point: str
) -> None:
    healthy, broken = (stack.api(files=str(tmp_path), testing=testing) for testing in ("", f"crash:{point}"))
    await stack.ready(healthy, broken)
    async with filing(stack, tmp_path) as s:
        file = await uploaded(s, healthy)
        assert await s.create(broken, file) is None
        assert await broken.died() == CRASHED
        await s.pass_time()
        assert await is_claimed(s, file), "though a day went by"
        stack.worker(files=str(tmp_path))
        await settles(s, healthy, file)


async def test_a_claim_whose_api_was_killed_in_its_statement_is_whole_or_leaves_a_draft(
    stack: Stack, tmp_path: Path
) -> None:
    """Postgres goes on with a statement whose client is gone, or gives it up: both are tried."""
    healthy = stack.api(files=str(tmp_path))
    await stack.ready(healthy)
    locker = await stack.database()
    async with filing(stack, tmp_path) as s:
        for lost in (False, True):
            broken, file = stack.api(files=str(tmp_path)), await uploaded(s, healthy)
            await stack.ready(broken)
            async with locker.transaction():
                await locker.execute("select from files where id = $1 for update", file)
                asked = asyncio.create_task(s.create(broken, file, f"lost: {lost}"))
                pid = await waiting(s)
                await broken.kill()
                if lost:
                    await s.db.execute("select pg_terminate_backend($1)", pid)
            assert await asked is None
            await until("its statement is over", lambda pid=pid: is_over(s, pid))  # type: ignore[misc]  # the default binds
            thread = await s.db.fetchval("select thread from files where id = $1", file)
            assert thread is None or not lost
            stored = await s.db.fetchval("select count(*) from threads where id = $1", thread)
            assert stored == (thread is not None)
            assert await s.db.fetchval("select count(*) from batches where thread = $1", thread) == stored
            answer = await s.create(healthy, file, f"lost: {lost}")
            assert answer is not None
            assert answer[0] == (201 if thread is None else 409)
    await locker.close()


async def waiting(s: Filing) -> int:
    """The backend that waits for the file."""
    found: list[int] = []

    async def one() -> bool:
        found[:] = [
            row["pid"]
            for row in await s.db.fetch(
                "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            )
        ]
        return bool(found)

    await until("the claim waits for the file", one)
    return found[0]


async def is_over(s: Filing, pid: int) -> bool:
    return not await s.db.fetchval("select exists (select from pg_stat_activity where pid = $1)", pid)


@pytest.mark.parametrize("point", one_of(*APPLYING))
async def test_a_message_whose_worker_was_killed_has_its_file_once(stack: Stack, tmp_path: Path, point: str) -> None:
    healthy = stack.api(files=str(tmp_path), wait_default="0")
    await stack.ready(healthy)
    async with filing(stack, tmp_path) as s:
        file = await uploaded(s, healthy)
        answer = await s.create(healthy, file)
        assert answer is not None
        assert answer[0] == 201
        assert await stack.worker(files=str(tmp_path), testing=f"crash:{point}").died() == CRASHED
        assert await is_claimed(s, file)
        stack.worker(files=str(tmp_path))
        await settles(s, healthy, file)
