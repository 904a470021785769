"""The playground's token in a browser: lent, kept in memory alone, given back, or one's own."""

import asyncio
from functools import partial

import pytest
from playwright.async_api import Request, Route

from tests.console.playing import Play, lent
from tests.watch import until

pytestmark = pytest.mark.browser


async def test_the_token_is_in_memory_alone_and_revoked_when_the_page_is_left(play: Play) -> None:
    page = play.screen.page
    sent: list[Request] = []
    page.on("request", partial(list.append, sent))  # of a bound method playwright would mark the object
    async with page.expect_response("**/console/playground/token") as answered:
        await play.open(play.client.agent)
    secret = (await (await answered.value).json())["secret"]
    await play.say("hello")
    await play.sees("hello")
    places = "[{...localStorage}, {...sessionStorage}, document.cookie, location.href]"
    kept = await page.evaluate(f"JSON.stringify({places})")
    assert secret not in kept + await page.content()
    assert not any(secret in request.url for request in sent)
    heads = [
        await request.all_headers() for request in sent if "/api/v1/" in request.url and "/stream" not in request.url
    ]
    assert {(head.get("authorization"), "cookie" in head) for head in heads} == {(f"Bearer {secret}", False)}
    assert await lent(play) == [False]
    await play.screen.open("/console")

    async def gone() -> bool:
        return await lent(play) == [True]

    assert await until(gone)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["button", "logout"])
async def test_the_token_is_given_back_by_a_button_and_by_a_logout(play: Play, way: str) -> None:
    page = play.screen.page
    await play.open(play.client.agent)
    await page.get_by_role("button", name="Give it back" if way == "button" else "Log out").click()
    await page.get_by_text("given back" if way == "button" else "Operator's token").first.wait_for()
    assert await lent(play) == [True]


@pytest.mark.slow
async def test_a_loan_that_comes_late_does_not_take_the_place_of_ones_own_token(play: Play) -> None:
    page = play.screen.page
    await play.open(play.client.agent, token=False)
    go, asked = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        asked.set()
        await go.wait()
        await route.continue_()

    await page.route("**/console/playground/token", late, times=1)
    await page.get_by_role("button", name="Get a token for this page").click()
    await asked.wait()
    await page.get_by_label("A token of your own").fill(play.client.token)
    await page.get_by_role("button", name="Use it").click()
    async with page.expect_response("**/console/playground/return") as returned:
        go.set()
    assert (await returned.value).status == 200
    assert await lent(play) == [True]
    assert await page.locator("#token-state").text_content() == "your own"


@pytest.mark.slow
async def test_a_viewer_uses_a_token_of_their_own(play: Play) -> None:
    page = play.screen.page
    await page.get_by_role("button", name="Log out").click()
    await play.screen.log_in(play.staff.viewer)
    await play.open(play.client.agent, token=False)
    assert await page.get_by_role("button", name="Get a token for this page").is_disabled()
    await play.say("hello")
    await play.log.get_by_text("There is no token yet").wait_for()
    await page.get_by_label("A token of your own").fill(play.client.token)
    await page.get_by_role("button", name="Use it").click()
    assert await page.get_by_label("A token of your own").input_value() == ""
    await play.say("hello")
    await play.sees("hello")
    await play.screen.open("/console")
    assert await lent(play) == []
    found = "select revoked_at from tokens where id = $1"
    assert await play.staff.service.pool.fetchval(found, play.client.token_id) is None
