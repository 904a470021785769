"""The playground in a browser: what is said there and what comes back, with a worker that executes the runs."""

import pytest
from playwright.async_api import Route

from api import agents
from tests.console.playing import Play

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\n&lt;b&gt; \'" </textarea>'


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


async def test_what_anybody_says_stays_text(play: Play) -> None:
    page, agent, pool = play.screen.page, play.approve, play.staff.service.pool
    await pool.execute("update agents set name = $1 where id = $2", "<i>\"'&", agent)
    await pool.execute("update accounts set name = $1", "<i>'\"&amp;")
    await play.open(agent)
    for kind, name in (("account", "<i>'\"&amp;"), ("agent", "<i>\"'&")):
        await page.locator(f"#{kind} option:checked", has_text=name).wait_for(state="attached")
    await play.say(HOSTILE)
    await page.get_by_role("button", name="Allow once").click()
    await play.sees("onerror", "user")
    await play.sees("onerror", "agent")
    await page.get_by_text("Raw events").click()
    await play.status("completed")
    assert await page.evaluate("window.hit") is None
    assert await page.locator("#playground img, #playground script, #playground i").count() == 0


@pytest.mark.slow
async def test_errors_and_warnings_are_shown_as_they_come(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "_KEEP", 0.0)  # seconds for which an agent that is closed would still take threads
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
