"""The playground in a browser, with the demo agents and a worker that executes their runs."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Locator, Request, Route

from shared import accounts
from shared.ids import AgentId
from shared.settings import Settings
from tests.console.conftest import Staff, staff_of
from tests.console.screen import Screen, connected, opened
from tests.proxy import Wire, wire_to
from tests.service import Client, running_service
from tests.watch import until

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\n&lt;b&gt; \'" </textarea>'


@dataclass(frozen=True, slots=True)
class Play:
    """The page, and what stands behind it."""

    screen: Screen
    staff: Staff
    client: Client  # of the account; its first agent is echo
    approve: AgentId
    wire: Wire  # between the browser and the api

    @property
    def log(self) -> Locator:
        return self.screen.page.get_by_role("log")

    async def open(self, agent: str, *, thread: str = "", token: bool = True) -> None:
        await self.screen.open(f"/console/playground?agent={agent}" + (f"&thread={thread}" if thread else ""))
        if token:
            await self.screen.page.get_by_role("button", name="Get a token for this page").click()
            await self.screen.page.get_by_text(re.compile("lent until")).wait_for()

    async def say(self, text: str) -> None:
        await self.screen.page.get_by_label("Message").fill(text)
        await self.screen.page.get_by_label("Message").press("Control+Enter")

    async def sees(self, text: str, kind: str = "agent") -> None:
        await self.log.locator(f".entry.{kind}").filter(has_text=text).first.wait_for()

    async def status(self, text: str) -> None:
        await self.screen.page.locator("#runs .badge").first.filter(has_text=text).wait_for()

    @property
    async def thread(self) -> str:
        text = await self.screen.page.locator("#thread-id").text_content()
        assert text
        return text


@pytest.fixture
async def play(settings: Settings, chromium: str, axe: Path) -> AsyncIterator[Play]:
    async with running_service(settings, roles="all") as service:
        staff, client = await staff_of(service), await service.client("dev")
        config = "update agents set runner = 'python', config = '{\"function\": \"worker.runners.demo:echo\"}'"
        await service.pool.execute(config)
        approve = await accounts.create_agent(
            service.pool,
            client.account,
            "approve",
            "python",
            config={"function": "worker.runners.demo:approve"},
            published=True,
        )
        async with wire_to(service.url) as wire, connected(chromium) as browser:
            address = f"http://127.0.0.1:{urlsplit(wire.url).port}"
            async with opened(browser, address, axe) as screen:
                await screen.log_in(staff.admin)
                yield Play(screen, staff, client, approve.id, wire)


async def lent(play: Play) -> list[bool]:
    """Of each token that was lent, the oldest first, whether it was revoked."""
    rows = await play.staff.service.pool.fetch("select revoked_at from tokens where name = 'playground' order by id")
    return [row["revoked_at"] is not None for row in rows]


async def test_a_message_is_answered_as_it_comes_and_the_page_is_presentable(play: Play) -> None:
    page = play.screen.page
    await play.open(play.client.agent)
    await play.say("/slow 3 are you there?")
    await play.sees("1 2 3")
    assert "there" not in (await play.log.locator(".entry.agent").inner_text())
    assert await page.locator(".entry[aria-busy=true]").count() == 1
    await play.sees("are you there?")
    await play.status("completed")
    assert await page.get_by_text("tokens").count() >= 1
    curl = await page.locator("#request").text_content() or ""
    assert "curl -X POST" in curl
    assert '"Authorization: Bearer $TOKEN"' in curl
    await page.get_by_text("Raw events").click()
    await page.get_by_text("The last request, as a").click()
    assert '"type":"run.completed"' in await page.locator("#raw").inner_text()
    await play.screen.presentable("playground")


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


@pytest.mark.parametrize(
    ("button", "answer"), [("Allow once", "you may"), ("Reject", "I did not answer: rejected (not now)")]
)
async def test_a_permission_is_decided_in_the_page(play: Play, button: str, answer: str) -> None:
    page = play.screen.page
    await play.open(play.approve)
    await play.say("you may")
    await play.sees("Answer", "ask")
    await play.status("waiting input")
    if button == "Reject":
        await page.get_by_label("Note to the decision").fill("not now")
    else:
        await play.screen.presentable("playground-asks")
    await page.get_by_role("button", name=button).click()
    await play.sees(answer)
    await play.status("completed")
    assert await page.get_by_role("button", name=button).count() == 0


async def test_a_run_is_interrupted(play: Play) -> None:
    page = play.screen.page
    await play.open(play.client.agent)
    await play.say("/slow 20")
    await play.sees("1 2 3")
    await page.get_by_role("button", name="Interrupt").click()
    await play.status("cancelled")
    assert await page.get_by_role("button", name="Interrupt").is_disabled()


@pytest.mark.slow
async def test_a_stream_that_was_cut_goes_on_behind_the_last_event(play: Play) -> None:
    page = play.screen.page
    await play.open(play.client.agent)
    await play.say("/slow 3")
    await play.sees("1 2 3")
    play.screen.allow("ERR_")
    for _ in range(2):
        async with page.expect_request("**/events/stream?*") as again:
            play.wire.cut()
        assert (await (await again.value).all_headers())["last-event-id"]
        await page.locator("#stream-state").get_by_text("live").wait_for()
    await play.sees("/slow 3")
    counted = " ".join(str(number) for number in range(1, 31))
    assert (await play.log.locator(".entry.agent .text").all_inner_texts()) == [f"{counted} /slow 3"]
    assert await page.locator(".entry.user").count() == 1


@pytest.mark.slow
async def test_a_message_whose_answer_was_lost_is_sent_again_and_counts_once(play: Play) -> None:
    page = play.screen.page
    await play.open(play.client.agent)
    await play.say("first")
    await play.status("completed")

    async def lose(route: Route) -> None:
        assert (await route.fetch()).status == 200
        await route.abort()

    play.screen.allow("ERR_FAILED")
    await page.route("**/api/v1/threads/*/events", lose, times=1)
    await play.say("once")
    await play.log.get_by_text("not known whether the request went in").wait_for()
    await page.get_by_role("button", name="Send it again").click()
    await page.locator("#runs tr").nth(1).wait_for()
    await play.sees("once")
    assert await play.log.locator(".entry.user").filter(has_text="once").count() == 1
    assert await page.get_by_label("Message").input_value() == ""
    assert await play.staff.service.pool.fetchval("select count(*) from runs") == 2


@pytest.mark.slow
async def test_keys_pressed_twice_send_once(play: Play) -> None:
    page = play.screen.page
    await play.open(play.client.agent)
    await page.get_by_label("Message").fill("once")
    await page.evaluate(
        "() => { for (let n = 0; n < 2; n++) document.getElementById('text').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true, bubbles: true, cancelable: true})) }"
    )
    await play.status("completed")
    await play.say("twice")
    await play.log.locator(".entry.agent").nth(1).wait_for()
    assert await play.staff.service.pool.fetchval("select count(*) from threads") == 1


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


async def test_what_anybody_says_stays_text(play: Play) -> None:
    page, agent = play.screen.page, play.approve
    await play.staff.service.pool.execute("update agents set name = $1 where id = $2", "<i>\"'&", agent)
    await play.open(agent)
    await play.say(HOSTILE)
    await page.get_by_role("button", name="Allow once").click()
    await play.sees("onerror", "user")
    await play.sees("onerror", "agent")
    await page.get_by_text("Raw events").click()
    await play.status("completed")
    assert await page.evaluate("window.hit") is None
    assert await page.locator("#playground img, #playground script, #playground i").count() == 0


@pytest.mark.slow
async def test_errors_and_warnings_are_shown_as_they_come(play: Play) -> None:
    page, pool = play.screen.page, play.staff.service.pool
    await play.open(play.client.agent)
    await play.say("/slow 20")
    await play.sees("1 2 3")
    await page.get_by_label("while a run is under way").select_option("reject")
    await play.say("me, too")
    await play.log.get_by_text("(run_active)").wait_for()
    await page.get_by_role("button", name="Interrupt").click()
    await play.status("cancelled")
    await page.get_by_label("while a run is under way").select_option("")
    await play.say("/fail")
    await play.status("failed")
    await play.log.get_by_text("run failed: The text asked for it.").wait_for()
    play.screen.allow("status of 40[14]")
    await page.get_by_label("Id of a thread").fill("01J00000000000000000000000")
    await page.get_by_role("button", name="Continue").click()
    await play.log.get_by_text("found with a token of its own account only").wait_for()
    await pool.execute("update agents set published = false where id = $1", play.client.agent)
    await play.open(play.client.agent)
    await page.get_by_text("is not published: it takes no new threads").wait_for()
    play.screen.allow("status of 409")
    await play.say("hello")
    await play.log.get_by_text("(agent_not_published, 409").wait_for()
    await play.screen.presentable("playground-refused")


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


@pytest.mark.slow
async def test_accounts_and_agents_are_found_among_many(play: Play) -> None:
    page, pool = play.screen.page, play.staff.service.pool
    other = await play.staff.service.client("zeta")
    for number in range(60):
        await accounts.create_agent(pool, other.account, f"helper {number:02}", "echo", published=True)
    await play.open(play.client.agent)
    await page.get_by_label("Account", exact=True).select_option("zeta")
    await page.get_by_role("status").get_by_text("given back").wait_for()
    agents = page.get_by_label("Agent", exact=True)
    await agents.locator("option").nth(49).wait_for(state="attached")
    assert await agents.locator("option:checked").text_content() == "echo"
    await page.get_by_role("button", name="more agents").click()
    await agents.locator("option").nth(60).wait_for(state="attached")
    await page.get_by_label("Find agents whose name begins with").fill("HELPER 5")
    await agents.locator("option").nth(11).wait_for(state="detached")
    await agents.select_option("helper 57")
    assert f"account={other.account}" in page.url
