"""Files in the console: whose they are, what they come to, what is deleted and what the audit log has of it."""

from urllib.parse import urlencode

import asyncpg
import pytest

from shared import ids
from shared.settings import Settings
from tests.console.browsing import Browsing
from tests.console.staff import Staff, staff_of
from tests.rows import Owner, add_batch, add_file, add_owner, add_thread, attach
from tests.service import running_service

HERE = "/console/files"
KIB, MIB = 1 << 10, 1 << 20
HOSTILE = '"><img src=x onerror=alert(1)>\u202e{{ 7*7 }}.txt'


@pytest.fixture
async def pool(staff: Staff) -> asyncpg.Pool:
    return staff.service.pool


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


async def audited(pool: asyncpg.Pool) -> list[tuple[str, int, str]]:
    rows = await pool.fetch("select target, touched, result from audit where action = 'file.delete' order by id")
    return [tuple(row) for row in rows]


def deleting(*files: str, **named: str) -> str:
    return f"{HERE}/delete?{urlencode([('id', file) for file in files] + list(named.items()))}"


async def test_files_of_all_of_an_account_and_of_a_thread_are_listed_page_by_page(
    pool: asyncpg.Pool, owner: Owner, operator: Browsing
) -> None:
    mine = [await add_file(pool, owner, f"{n}.txt", KIB + n) for n in range(51)]
    other = await add_file(pool, await add_owner(pool, "globex"), "its.txt")
    thread = await add_thread(pool, owner)
    await attach(pool, thread.id, mine[7])
    first = await operator.open(HERE)
    assert [f"{HERE}/{file}" in first.text for file in (mine[0], mine[49], mine[50], other)] == [
        True,
        True,
        False,
        False,
    ]
    assert '<span title="1,031 bytes">1.0 KiB</span>' in first.text
    href = next(part for part in first.text.split('href="') if "after=" in part).split('"')[0].replace("&amp;", "&")
    second = await operator.open(href)
    assert [f"{HERE}/{file}" in second.text for file in (mine[49], mine[50], other)] == [False, True, True]
    begun = href.partition("?")[2]  # in the list of all, with another account's file
    for query, there in (
        (f"thread={thread.id}", mine[7]),
        ("account=globex", other),
        (f"account=globex&{begun}", other),
    ):
        seen = await operator.open(f"{HERE}?{query}")
        assert (seen.text.count("Select file"), f"{HERE}/{there}" in seen.text) == (1, True), query
    for query, status in (
        ("account=nobody", 404),
        ("thread=nothing", 404),
        (f"account=acme&thread={thread.id}", 400),
        ("after=nonsense", 400),
    ):
        assert (await operator.open(f"{HERE}?{query}")).status == status, query
    of_thread = await operator.open(f"/console/threads/{thread.id}")
    assert (f"{HERE}/{mine[7]}" in of_thread.text, "1,031 bytes" in of_thread.text) == (True, True)


async def test_a_file_says_who_sent_it_or_which_run_made_it_and_what_brought_it(
    pool: asyncpg.Pool, owner: Owner, operator: Browsing
) -> None:
    thread, run = await add_thread(pool, owner), ids.mint()
    sent, made = [await add_file(pool, owner, name, 2 * KIB) for name in ("sent.txt", "made.txt")]
    draft = (await operator.open(f"{HERE}/{sent.lower()}")).words
    assert ("nothing has attached it" in draft, "unless something attaches it" in draft) == (True, True)
    await attach(pool, thread.id, sent, made)
    batch = await add_batch(pool, owner, thread)
    await pool.execute("update files f set ref = b.ref from batches b where b.id = $1 and f.id = $2", batch, sent)
    await pool.execute("update files set kind = 'artifact', token = null, run = $1 where id = $2", run, made)
    seen = await operator.open(f"{HERE}/{sent}")
    for part in ("2.0 KiB, 2,048 bytes", "00" * 32, owner.token, "no: its batch is not applied yet", "acme"):
        assert part in seen.words, part
    assert f'href="/console/queue/batches/{batch}"' in seen.text
    await pool.execute("update batches set applied_at = now(), outcome = '{}'")
    assert "committed yes" in (await operator.open(f"{HERE}/{sent}")).words
    await pool.execute("delete from batches")
    gone = (await operator.open(f"{HERE}/{sent}")).words
    assert ("a batch that is not kept any more" in gone, "committed yes" in gone) == (True, True)
    artifact = await operator.open(f"{HERE}/{made}")
    assert (f'href="/console/runs/{thread.id}/{run}"' in artifact.text, "uploaded by" in artifact.words) == (
        True,
        False,
    )
    for unknown in (ids.mint(), "nothing"):
        assert (await operator.open(f"{HERE}/{unknown}")).status == 404


async def test_the_name_and_the_type_of_a_file_are_text_wherever_they_stand(
    pool: asyncpg.Pool, owner: Owner, operator: Browsing
) -> None:
    file, thread = await add_file(pool, owner, HOSTILE, 5, '<script>/"x'), await add_thread(pool, owner)
    await attach(pool, thread.id, file)
    for path in (HERE, f"{HERE}/{file}", f"/console/threads/{thread.id}", deleting(file)):
        seen = await operator.open(path)
        assert ("&lt;img src=x" in seen.text, "⟨U+202E⟩{{ 7*7 }}" in seen.text) == (True, True), path
        assert not any(part in seen.text for part in ("<img src=x", "\u202e", '<script>/"x', "content?")), path


async def test_what_was_chosen_is_deleted_once_and_what_is_gone_meanwhile_is_said(
    pool: asyncpg.Pool, owner: Owner, operator: Browsing
) -> None:
    files = [await add_file(pool, owner, f"{n}.txt", MIB) for n in range(4)]
    asked = await operator.open(deleting(*files[:3], files[0], account="acme"))
    assert "Delete 3 files?" in asked.words
    assert "This touches 3 files, 3.0 MiB ." in asked.words
    assert "“2.txt” (1.0 MiB)" in asked.words
    assert "1 file (1.0 MiB) was deleted." in (await operator.confirm(deleting(files[1]))).words
    answer = await operator.submit(asked, asked.form())
    assert answer.location == f"{HERE}?account=acme"
    assert "2 files (2.0 MiB) were deleted. 1 was gone already." in (await operator.open(answer.location)).words
    again = await operator.submit(asked, asked.form())
    assert "is not done twice" in (await operator.open(again.location)).words
    assert await audited(pool) == [(f"file {file}", 1, "done") for file in (files[1], files[0], files[2])]
    assert [row["id"] for row in await pool.fetch("select id from files")] == [files[3]]
    assert await pool.fetchval("select count(*) from file_removals") == 3
    assert tuple(await pool.fetchrow("select files, bytes from file_usage")) == (1, MIB)
    late = await operator.open(deleting(*files[2:]))
    assert "1 of those that were chosen is gone already." in late.words
    await pool.execute("delete from files")
    answer = await operator.submit(late, late.form())
    assert "Nothing was deleted: they are gone already." in (await operator.open(answer.location)).words
    for wanted, status in (((files[0],), 409), ((), 400), (("nothing",), 404), ([ids.mint() for _ in range(201)], 400)):
        assert (await operator.open(deleting(*wanted))).status == status, wanted


async def test_a_viewer_finds_no_way_to_delete_a_file_and_is_refused(
    pool: asyncpg.Pool, owner: Owner, operator: Browsing, viewer: Browsing
) -> None:
    file = await add_file(pool, owner)
    for path in (HERE, f"{HERE}/{file}"):
        assert ["/delete" in (await one.open(path)).text for one in (operator, viewer)] == [True, False], path
    assert "Delete selected" not in (await viewer.open(HERE)).words
    asked = await operator.open(deleting(file))
    csrf = (await viewer.open(HERE)).form("/console/logout").fields["csrf"]
    assert (await viewer.open(deleting(file))).status == 403
    assert (await viewer.submit(asked, asked.form(), {"csrf": csrf})).status == 403
    assert (await pool.fetchval("select count(*) from files"), await audited(pool)) == (1, [])


async def test_what_an_account_has_stands_beside_its_quota_and_what_is_to_be_removed_with_its_age(
    settings: Settings,
) -> None:
    async with running_service(settings.model_copy(update={"file_quota": 4 * MIB}), worker=False) as service:
        pool, staff = service.pool, await staff_of(service)
        operator = await staff.browsing(staff.admin)
        owner = await add_owner(pool)
        for size in (3 * MIB, 700 * KIB):
            await add_file(pool, owner, size=size)
        for path in (f"{HERE}?account=acme", f"{HERE}/accounts", f"/console/queue/accounts/{owner.account}"):
            seen = (await operator.open(path)).words
            assert ("3.7 MiB" in seen, "92 % of 4.0 MiB" in seen) == (True, True), path
        assert "from the storage: nothing" in (await operator.open(HERE)).words
        await operator.confirm(deleting(await pool.fetchval("select id from files limit 1")))
        seen = (await operator.open(HERE)).words
        assert ("to be removed 1 the oldest for" in seen, "are still in the storage" in seen) == (True, False)
        await pool.execute("update file_removals set since = now() - interval '320 seconds'")
        seen = (await operator.open(HERE)).words
        assert ("the oldest for 5 min 20 s" in seen, "are still in the storage" in seen) == (True, True)
