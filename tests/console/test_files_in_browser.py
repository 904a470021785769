"""Files in a browser: looked at in both themes and on a phone, live, and deleted by the keyboard."""

import pytest

from tests.console.hostile import HOSTILE, harmless
from tests.console.screen import Screen
from tests.console.staff import Staff
from tests.rows import Owner, add_file, add_owner, add_thread, attach

pytestmark = pytest.mark.browser

HERE = "/console/files"
MIB = 1 << 20


async def a_thread_with_files(staff: Staff, owner: Owner) -> str:
    """Its id: of one with three files, besides which its owner has two drafts, one of them hostile by its name."""
    pool = staff.service.pool
    thread = await add_thread(pool, owner)
    named = (("quarterly figures.xlsx", 3 * MIB), ("notes.txt", 812), ("a long name of a photo, " * 8, 61 * MIB))
    kinds = ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "text/plain", "image/jpeg")
    files = [await add_file(pool, owner, *one, kind) for one, kind in zip(named, kinds, strict=True)]
    await attach(pool, thread.id, *files)
    await add_file(pool, owner, "draft.pdf", 90_000, "application/pdf")
    await add_file(pool, owner, HOSTILE, 5)
    await pool.execute("update files set ready = false, sha256 = null where name = 'notes.txt'")
    await pool.execute(
        "insert into file_removals (id, account, since) values (gen_random_uuid(), $1, '2026-01-01')", owner.account
    )
    return thread.id


async def test_files_are_presentable_live_and_deleted_with_the_keyboard_alone(screen: Screen, staff: Staff) -> None:
    page, pool = screen.page, staff.service.pool
    owner = await add_owner(pool)
    thread = await a_thread_with_files(staff, owner)
    await screen.open(HERE)
    await page.get_by_text("are still in the storage").wait_for()
    await harmless(screen)
    await screen.presentable("files")
    await page.locator("#live-state").get_by_text("live", exact=True).wait_for()
    await add_file(pool, owner, "just now.txt")
    await page.get_by_role("cell", name="just now.txt").wait_for()
    for name in ("draft.pdf", "just now.txt"):
        await page.get_by_role("row", name=name).get_by_role("checkbox").press("Space")
    await page.get_by_role("button", name="Delete selected").press("Enter")
    await page.get_by_text("This touches 2 files, 87.9 KiB").wait_for()
    await screen.presentable("files-delete")
    await page.get_by_role("button", name="Delete", exact=True).press("Enter")
    await page.get_by_role("status").get_by_text("2 files (87.9 KiB) were deleted.").wait_for()
    await page.get_by_role("link", name="By account").press("Enter")
    await page.get_by_role("rowheader", name="acme").get_by_role("link").wait_for()
    await screen.presentable("files-accounts")
    await page.get_by_role("rowheader", name="acme").get_by_role("link").press("Enter")
    await page.get_by_text("no quota is set").wait_for()
    await screen.presentable("files-account")
    await screen.open(f"/console/threads/{thread}")
    await page.get_by_role("region", name="Files").get_by_text("61.0 MiB").wait_for()
    await screen.presentable("files-thread")
    await page.get_by_role("row", name="quarterly").get_by_role("link").press("Enter")
    await page.get_by_text("3.0 MiB, 3,145,728 bytes").wait_for()
    await screen.presentable("file")


async def test_a_viewer_has_the_files_and_nothing_to_choose(viewer_screen: Screen, staff: Staff) -> None:
    await a_thread_with_files(staff, await add_owner(staff.service.pool))
    await viewer_screen.open(HERE)
    await viewer_screen.page.get_by_role("cell", name="draft.pdf").wait_for()
    assert await viewer_screen.page.get_by_role("checkbox").count() == 0
    await viewer_screen.presentable("files-viewer")
