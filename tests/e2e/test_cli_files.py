"""`threadmill file`, as an operator types it."""

import asyncpg
import pytest

from tests.e2e.command_line import Threadmill
from tests.rows import Owner, add_batch, add_file, add_owner, add_thread, attach

pytestmark = pytest.mark.timeout(60)


async def test_files_are_listed_page_by_page_of_all_of_an_account_or_of_a_thread(
    threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool
) -> None:
    other = await add_owner(pool, "globex")
    mine = [await add_file(pool, owner) for _ in range(3)]
    its = [await add_file(pool, other)]
    thread = await add_thread(pool, owner)
    await attach(pool, thread.id, mine[1])
    listed: list[str] = []
    after: list[str | None] = []
    while not listed or after[-1] is not None:
        arguments = ("--after", after[-1]) if after else ()
        page = (await threadmill("file", "list", "--limit", "2", *arguments, "--json")).document
        listed += [file["id"] for file in page["files"]]
        after.append(page["after"])
    assert listed == [*mine, *its]
    of_account = (await threadmill("file", "list", "--account", "acme", "--json")).document
    assert [file["id"] for file in of_account["files"]] == mine
    assert [file["state"] for file in of_account["files"]] == ["draft", "kept", "draft"]
    of_thread = (await threadmill("file", "list", "--thread", thread.id)).out
    assert mine[1] in of_thread
    assert mine[0] not in of_thread
    assert (await threadmill("file", "list", "--thread", thread.id, "--account", "acme")).code == 2


async def test_what_accounts_have_is_added_up(threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool) -> None:
    other = await add_owner(pool, "globex")
    for of, files, size in ((owner, 2, 10), (other, 1, 7)):
        await pool.execute(
            "insert into file_usage (account, files, bytes) values ($1, $2, $3)", of.account, files, size
        )
    page = (await threadmill("file", "usage", "--limit", "1", "--json")).document
    more = (await threadmill("file", "usage", "--after", page["after"], "--json")).document
    assert [(one["name"], one["usage"]) for one in (*page["accounts"], *more["accounts"])] == [
        ("acme", {"files": 2, "size": 10}),
        ("globex", {"files": 1, "size": 7}),
    ]
    assert more["after"] is None
    one = (await threadmill("file", "usage", "--account", "globex")).out
    assert "globex" in one
    assert "acme" not in one


async def test_a_name_from_outside_does_nothing_to_a_terminal(
    threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool
) -> None:
    file = await add_file(pool, owner, "[red]a\x1b[31m.txt")
    shown = await threadmill("file", "show", file)
    assert "\x1b" not in shown.out
    assert "[red]a" in shown.out


async def test_a_deleted_file_is_gone_and_stands_in_the_audit_log(
    threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool
) -> None:
    file = await add_file(pool, owner)
    assert (await threadmill("file", "delete", file)).code == 2  # nobody is asked, and nobody said yes
    assert (await threadmill("file", "delete", file, "--yes", "--json")).document == {"deleted": 1}
    assert await pool.fetchval("select id from file_removals") == file
    told = " ".join((await threadmill("file", "list")).out.split())
    assert "to be removed from the storage: 1, the oldest for 0." in told
    assert (await threadmill("file", "delete", file, "--yes")).code == 1
    assert (await threadmill("file", "delete", "no-id", "--yes")).code == 2
    (entry,) = (await threadmill("audit", "list", "--action", "file.delete", "--json")).document["entries"]
    assert (entry["target"], entry["touched"], entry["result"]) == (f"file {file}", 1, "done")


async def test_a_file_says_what_brought_it_and_whether_that_is_applied(
    threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool
) -> None:
    file, thread = await add_file(pool, owner), await add_thread(pool, owner)
    await attach(pool, thread.id, file)
    batch = await add_batch(pool, owner, thread)
    await pool.execute("update files f set ref = b.ref from batches b")
    shown = (await threadmill("file", "show", file, "--json")).document
    assert (shown["account_name"], shown["batch"], shown["committed"]) == ("acme", batch, False)
    await pool.execute("update batches set applied_at = now(), outcome = '{}'")
    assert (await threadmill("file", "show", file, "--json")).document["committed"] is True
