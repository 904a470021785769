"""The console's frame in a browser: logging in, themes, the keyboard, the live part."""

import pytest

from tests.console.conftest import Staff
from tests.console.screen import Screen

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


async def test_a_theme_is_kept(screen: Screen, staff: Staff) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await screen.page.evaluate(paper)
    await screen.page.get_by_role("button", name="dark").click()
    await screen.page.wait_for_load_state()
    assert await screen.page.evaluate(paper) != light
    await screen.open("/console")
    assert await screen.page.evaluate(paper) != light
    assert await screen.page.get_by_role("button", name="dark").get_attribute("aria-pressed") == "true"


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
