"""The queue's pages and the workers' in a browser: readable by everybody, in both themes and on a phone; and used."""

import pytest

from api.console import workers
from shared import ids
from shared.audit import Actor, Via
from shared.inspect.actions import limits
from tests.console.screen import Screen
from tests.console.staff import Staff
from tests.rows import Owner, add_batch, add_owner, add_thread

pytestmark = pytest.mark.browser

NAME = '<img src=x onerror="document.title=1"> & sons'


@pytest.fixture
async def owner(staff: Staff) -> Owner:
    """With something of everything that the pages show."""
    pool = staff.service.pool
    owner = await add_owner(pool, NAME)
    thread = await add_thread(pool, owner)
    for n in range(3):
        await add_batch(pool, owner, thread, age=100.0 * n)
    await add_batch(pool, owner, thread, parked=True)
    await pool.executemany(
        "insert into workers (id, host, pid, roles, version, memory, skew, executing, seen_at, doing)"
        " values ($1, $2, 7, 'all', $3, 104857600, 2.5, 3, clock_timestamp() - make_interval(secs => $4), $5)",
        [(ids.mint(), "here", "0.1.0", -600.0, "quiet"), (ids.mint(), "there", "0.0.9", 90.0, "work")],
    )
    await pool.execute(
        "insert into samples (at, accepted, applied, failed, parked, latency)"
        " select date_bin('10 seconds', now(), 'epoch') - n * interval '10 seconds', 100 + n % 50, 50, n % 2, 0, $1"
        " from generate_series(1, 300) n where n not between 50 and 90 on conflict do nothing",
        [0] * 4 + [600, 100, 20] + [0] * 28,
    )
    return owner


async def test_the_overview_is_presentable_with_charts_and_problems(screen: Screen, owner: Owner) -> None:
    await screen.open("/console")
    await screen.page.get_by_text("What is wrong").wait_for()
    await screen.page.get_by_role("img", name="Batches a second").wait_for()
    await screen.page.get_by_text("As a table").first.click()
    await screen.page.get_by_role("region", name="Batches a second").wait_for()
    await screen.presentable("overview-full")
    dead = screen.page.locator("#part").get_by_role("link", name="dead letters")
    assert await dead.get_attribute("href") == "/console/dead"


async def test_the_queue_is_presentable_and_leads_to_its_batches(screen: Screen, owner: Owner) -> None:
    await screen.open("/console/queue")
    await screen.page.get_by_role("link", name=NAME, exact=True).wait_for()
    await screen.presentable("queue")
    await screen.page.get_by_role("link", name=NAME, exact=True).click()
    await screen.page.get_by_role("heading", name="Limits").wait_for()
    await screen.presentable("queue-account")
    await screen.page.get_by_role("link", name="Its waiting batches").click()
    await screen.page.get_by_role("table").wait_for()
    await screen.presentable("batches")
    await screen.page.get_by_role("rowheader").first.get_by_role("link").click()
    await screen.page.get_by_role("heading", name="Events").wait_for()
    await screen.presentable("batch")


async def test_lists_of_accounts_and_of_what_is_held_are_presentable(
    screen: Screen, owner: Owner, staff: Staff
) -> None:
    page = screen.page
    await staff.service.pool.execute("update accounts set held = true where id = $1", owner.account)
    await screen.open("/console/queue/accounts?show=paused")
    await page.get_by_role("rowheader", name="sons").get_by_text("paused").wait_for()
    await screen.presentable("queue-accounts")
    await page.get_by_label("Account (name or id)").fill(NAME)
    await page.keyboard.press("Enter")
    await page.get_by_text("This account is paused").wait_for()
    await page.get_by_role("link", name="Its waiting batches").click()
    await page.get_by_role("link", name="To the account").first.wait_for()
    await screen.presentable("batches-paused")
    await page.get_by_role("link", name="Behind a hold").click()
    await page.get_by_role("cell", name="parked", exact=True).wait_for()
    await screen.presentable("batches-blocked")


@pytest.mark.slow
async def test_the_limits_of_an_account_stand_on_its_page_with_their_numbers(
    screen: Screen, owner: Owner, staff: Staff
) -> None:
    db, actor = staff.service.pool, Actor("anna@ops-1", Via.CLI)
    await limits.limit_account(db, actor, owner.account, rate=12.5, burst=40, in_flight=7_000)
    await limits.limit_token(db, actor, owner.token, rate=2.0)
    await screen.open(f"/console/queue/accounts/{owner.account}")
    table = screen.page.get_by_role("region", name="Limits").get_by_role("table")
    await table.wait_for()
    rows = [await row.locator("th, td").all_inner_texts() for row in await table.locator("tbody tr").all()]
    name = await db.fetchval("select prefix from tokens where id = $1", owner.token)
    assert rows == [
        ["requests a second", "", "12.5", "40", "0", "this account"],
        ["batches accepted and not applied", "", "7,000", "", "3", "this account"],
        ["runs in one worker", "", "no limit", "", "0", "the settings"],
        ["requests a second, of a token", "each", "no limit", "", "\N{EN DASH}", "the settings"],
        ["requests a second, of a token", name, "2", "2", "0", "this token"],
        ["batches that wait, of all accounts", "", "5,000,000", "", "0", "the settings"],  # nobody rang
    ]
    await screen.presentable("queue-account-limits")


@pytest.mark.slow
async def test_a_partition_and_an_account_are_paused_and_resumed_by_keyboard(screen: Screen, owner: Owner) -> None:
    page = screen.page
    for begin, name in (("/console/queue", "partition"), ("/console/queue/accounts", "sons")):
        await screen.open(begin)
        for word, asked in (("Pause", "with 3 waiting batches"), ("Resume", "with 3 waiting batches")):
            await page.get_by_role("link", name=word).filter(has_text=name).first.press("Enter")
            await page.get_by_text(asked).wait_for()
            await page.get_by_role("button", name=word).press("Enter")
            await page.get_by_role("status").get_by_text("is paused" if word == "Pause" else "is resumed").wait_for()


@pytest.mark.slow
async def test_the_whole_queue_is_paused_and_resumed_and_the_page_says_so(screen: Screen, owner: Owner) -> None:
    await screen.open("/console/queue")
    await screen.page.get_by_role("link", name="Pause all").click()
    await screen.page.get_by_text("all 64 partitions with 3 waiting batches").wait_for()
    await screen.presentable("question")
    await screen.page.get_by_role("button", name="Pause all").click()
    await screen.page.get_by_text("The whole queue is paused", exact=False).first.wait_for()
    await screen.page.get_by_role("link", name="Resume all").click()
    await screen.page.get_by_text("64 paused partitions with 3 waiting batches").wait_for()
    await screen.page.get_by_role("button", name="Resume all").click()
    await screen.page.get_by_role("status").get_by_text("64 partitions were paused").wait_for()


async def test_a_live_part_moves_under_neither_the_keyboard_nor_a_pressed_button(
    screen: Screen, owner: Owner, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, state = screen.page, screen.page.locator("#live-state")

    async def add_worker(host: str) -> None:
        """The first one of the list: all rows go down by one."""
        insert = "insert into workers (id, host, pid, roles, version) values ($1, $2, 8, 'all', '0.1.0')"
        await staff.service.pool.execute(insert, ids.mint(), host)

    await screen.open("/console/workers")
    quiet = page.get_by_role("link", name="Quiet 7 on here")
    place = await quiet.get_attribute("href")
    assert place is not None
    await page.get_by_role("region", name="Workers").focus()
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await quiet.evaluate("link => link === document.activeElement"):
            break
    for host in ("once", "again"):
        await add_worker(host)
        await page.get_by_role("rowheader", name=f"8 on {host}").wait_for()
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**{place}")

    await screen.open("/console/workers")
    await state.get_by_text("live", exact=True).wait_for()
    await quiet.hover()
    await page.mouse.down()
    await add_worker("behind")
    await state.get_by_text("held: in use").wait_for()
    await page.mouse.up()
    await page.wait_for_url(f"**{place}")

    monkeypatch.setattr(workers, "LISTED", 2)
    await screen.open("/console/workers")
    older = page.get_by_role("link", name="older")
    led = await older.get_attribute("href")
    await older.focus()
    await add_worker("last")
    await page.get_by_role("rowheader", name="8 on last").wait_for()
    assert await older.evaluate("link => link === document.activeElement")
    assert await older.get_attribute("href") != led


async def test_workers_are_presentable_and_told_to_be_quiet_to_work_and_to_drain(screen: Screen, owner: Owner) -> None:
    await screen.open("/console/workers")
    await screen.page.get_by_role("rowheader", name="7 on there").wait_for()
    await screen.presentable("workers")
    for word, said in (("Quiet", "takes nothing new from now on"), ("Work", "works again")):
        await screen.page.get_by_role("link", name=f"{word} 7 on here").click()
        await screen.page.get_by_role("button", name=word).click()
        await screen.page.get_by_role("status").get_by_text(said).wait_for()
    await screen.page.get_by_role("link", name="Drain").click()
    await screen.page.get_by_text("There is no way back").wait_for()
    await screen.page.get_by_role("button", name="Drain").click()
    await screen.page.get_by_text("asked to drain").wait_for()
