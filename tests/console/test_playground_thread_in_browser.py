"""Which thread of which agent the playground is at, in a browser: chosen, left, gone on with."""

import asyncio

import pytest
from playwright.async_api import Route

from shared import agents
from tests.console.playing import Play, lent

pytestmark = pytest.mark.browser


@pytest.mark.slow
async def test_what_answers_late_does_not_come_back_into_a_page_that_went_on(play: Play) -> None:
    page = play.screen.page
    await play.open(play.client.agent)
    go, asked = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        asked.set()
        await go.wait()
        await route.continue_()

    await page.route("**/api/v1/agents/*/threads", late, times=1)
    await page.get_by_label("Message").fill("left behind")
    await page.get_by_role("button", name="Send").click()
    await asked.wait()
    await page.get_by_label("Agent", exact=True).select_option("approve")
    await page.get_by_role("button", name="New thread").click()
    async with page.expect_response("**/api/v1/agents/*/threads") as answered:
        go.set()
    await (await answered.value).finished()
    await page.wait_for_function("!document.getElementById('send').disabled")
    assert await page.locator("#thread-id").text_content() == ""
    assert await page.locator(".entry").count() == 0


@pytest.mark.slow
async def test_a_reload_goes_on_with_the_thread_and_so_does_its_id(play: Play) -> None:
    page = play.screen.page
    await play.open(play.approve)
    await play.say("remember me")
    await play.sees("Answer", "ask")
    thread = await play.thread
    await page.reload()
    await page.get_by_text("history is shown once there is a token").wait_for()
    await page.get_by_role("button", name="Get a token for this page").click()
    await play.sees("remember me", "user")
    await page.get_by_role("button", name="Allow once").click()
    await play.sees("remember me")
    await page.get_by_role("button", name="New thread").click()
    assert await page.locator(".entry").count() == 0
    await page.get_by_label("Id of a thread").fill(thread.lower())
    await page.get_by_role("button", name="Continue").click()
    await play.sees("remember me", "user")
    assert await page.get_by_role("button", name="Allow once").count() == 0
    assert await lent(play) == [True, False]


@pytest.mark.slow
async def test_accounts_and_agents_are_found_among_many(play: Play) -> None:
    page, pool = play.screen.page, play.staff.service.pool
    other = await play.staff.service.client("zeta")
    for number in range(60):
        await agents.create_agent(pool, other.account, f"helper {number:02}", "echo", published=True)
    await play.open(play.client.agent)
    await page.get_by_label("Account", exact=True).select_option("zeta")
    await page.get_by_role("status").get_by_text("given back").wait_for()
    offered = page.get_by_label("Agent", exact=True)
    await offered.locator("option").nth(49).wait_for(state="attached")
    assert await offered.locator("option:checked").text_content() == "echo"
    await page.get_by_role("button", name="more agents").click()
    await offered.locator("option").nth(60).wait_for(state="attached")
    await page.get_by_label("Find agents whose name begins with").fill("HELPER 5")
    await offered.locator("option").nth(11).wait_for(state="detached")
    await offered.select_option("helper 57")
    assert f"account={other.account}" in page.url
