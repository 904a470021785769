"""The console's frame in a browser: logging in, themes, the keyboard, the live part."""

import asyncio
from pathlib import Path

import pytest

from shared import accounts
from shared.models import TokenKind
from shared.settings import Settings
from tests.console.screen import Screen, connected, opened
from tests.console.staff import Staff, staff_of
from tests.proxy import wire_to
from tests.service import running_service
from tests.watch import until

pytestmark = pytest.mark.browser


async def test_the_first_page_is_presentable(screen: Screen) -> None:
    await screen.page.get_by_text("live", exact=True).wait_for()
    await screen.presentable("overview")


async def test_the_login_page_is_presentable_and_says_what_is_wrong(screen: Screen) -> None:
    await screen.page.get_by_role("button", name="Log out").click()
    await screen.page.get_by_label("Operator's token").fill("guess")
    screen.allow("status of 401")
    await screen.page.keyboard.press("Enter")
    await screen.page.get_by_role("alert").get_by_text("not a token").wait_for()
    await screen.presentable("login")


@pytest.mark.slow
async def test_a_theme_is_kept(screen: Screen, staff: Staff) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await screen.page.evaluate(paper)
    await screen.page.get_by_role("button", name="dark").click()
    await screen.page.wait_for_load_state()
    assert await screen.page.evaluate(paper) != light
    await screen.open("/console")
    assert await screen.page.evaluate(paper) != light
    assert await screen.page.get_by_role("button", name="dark").get_attribute("aria-pressed") == "true"


@pytest.mark.slow
async def test_the_first_tab_leads_past_the_navigation(screen: Screen) -> None:
    await screen.page.keyboard.press("Tab")
    await screen.page.keyboard.press("Enter")
    assert await screen.page.evaluate("document.activeElement.id") == "main"


async def test_a_live_part_follows_what_happens_and_ends_with_its_session(screen: Screen, staff: Staff) -> None:
    part = screen.page.locator("#part")
    client = await staff.service.client("acme")
    assert (await client.create("hello", Prefer="respond-async")).status in {201, 202}
    await part.get_by_text("1", exact=True).first.wait_for()
    await staff.service.pool.execute("delete from console_sessions")
    await screen.page.wait_for_url("**/console/login?to=/console", timeout=15_000)


async def test_a_viewer_is_shown_why_nothing_can_be_pressed(viewer_screen: Screen) -> None:
    page = viewer_screen.page
    await viewer_screen.open("/console/tokens")
    await page.get_by_text("read-only", exact=True).wait_for()
    button = page.get_by_text("New token")
    assert await button.get_attribute("aria-disabled") == "true"
    assert "may look and not act" in (await button.get_attribute("title") or "")
    await viewer_screen.presentable("tokens-viewer")


async def test_a_double_click_makes_one_token(screen: Screen, staff: Staff) -> None:
    page = screen.page
    await screen.open("/console/tokens/new")
    await page.get_by_label("Kind").select_option("viewer")
    await page.get_by_label("Name").fill("made twice")
    await page.get_by_role("button", name="Make the token").dblclick()
    await page.get_by_role("heading", name="Token").first.wait_for()
    made = "select count(*) from tokens where name = 'made twice'"
    assert await staff.service.pool.fetchval(made) == 1


@pytest.mark.slow
async def test_a_part_that_is_in_use_is_held(screen: Screen, staff: Staff) -> None:
    page = screen.page
    await screen.open("/console/tokens")
    await page.get_by_text("live", exact=True).first.wait_for()
    await page.evaluate("document.getSelection().selectAllChildren(document.querySelector('#part tbody td'))")
    await accounts.create_token(staff.service.pool, None, TokenKind.VIEWER, "the newest")
    await page.get_by_text("held: in use").wait_for()
    assert await page.get_by_text("the newest").count() == 0
    await page.evaluate("document.getSelection().removeAllRanges()")
    await page.get_by_text("the newest").wait_for()


@pytest.mark.slow
async def test_a_page_that_is_open_while_postgres_goes_says_so(chromium: str, axe: Path, settings: Settings) -> None:
    async with wire_to(settings.database_url) as wire:
        through = settings.model_copy(update={"database_url": wire.url})
        async with running_service(through, worker=False) as service:
            staff = await staff_of(service)
            async with connected(chromium) as browser, opened(browser, service.url, axe) as screen:
                await screen.log_in(staff.admin)
                await screen.open("/console/tokens")
                await screen.page.get_by_text("live", exact=True).first.wait_for()
                wire.fall_silent(for_good=True)
                await screen.page.get_by_role("status").get_by_text("Postgres does not answer").wait_for()
                await screen.page.get_by_text("stands still").wait_for()
                assert await screen.page.get_by_text("night shift").count() > 0  # what was read stays
                await screen.presentable("tokens-standing")
                screen.allow("status of 503")
                await screen.open("/console/tokens")
                await screen.page.get_by_role("heading", name="Postgres is away").wait_for()
                await screen.presentable("away")


@pytest.mark.slow
async def test_the_overview_without_redis_says_so_and_is_presentable(
    chromium: str, axe: Path, settings: Settings
) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with running_service(away, worker=False) as service:
        staff = await staff_of(service)
        async with connected(chromium) as browser, opened(browser, service.url, axe) as screen:
            await screen.log_in(staff.admin)
            await screen.page.get_by_role("alert").get_by_text("Redis is away.").wait_for()
            await screen.page.get_by_role("heading", name="Redis away").wait_for()
            await screen.page.get_by_role("heading", name="Postgres answers").wait_for()
            await screen.presentable("overview-without-redis")


@pytest.mark.slow
async def test_a_tab_that_nobody_looks_at_is_paused_and_loads_again_when_it_is_looked_at(screen: Screen) -> None:
    page = screen.page
    await page.clock.install()
    await screen.open("/console/tokens")
    await page.get_by_text("live", exact=True).first.wait_for()
    assert _looks()
    look = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
    look += " document.dispatchEvent(new Event('visibilitychange')); }"
    await page.evaluate(look, True)
    await page.clock.fast_forward(31_000)
    await page.get_by_text("paused", exact=True).wait_for()

    async def nobody() -> bool:
        return not _looks()

    assert await until(nobody)
    async with page.expect_navigation():
        await page.evaluate(look, False)


def _looks() -> list[asyncio.Task[object]]:
    """Of the service in this process: the loops of live parts."""
    return [task for task in asyncio.all_tasks() if task.get_name() == "console live"]
