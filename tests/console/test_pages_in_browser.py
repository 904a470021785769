"""Tokens, agents, webhooks and the audit log in a browser: looked at, and used."""

import pytest

from tests.console.furnished import Furniture, furnish
from tests.console.screen import Screen
from tests.console.staff import Staff

pytestmark = pytest.mark.browser


@pytest.fixture
async def furniture(staff: Staff) -> Furniture:
    return await furnish(staff.service.pool)


async def confirm(screen: Screen, button: str) -> None:
    """Says yes on the page that asks."""
    await screen.page.locator("main").get_by_role("button", name=button).click()


async def test_a_token_is_made_shown_once_and_revoked(screen: Screen, furniture: Furniture) -> None:
    page = screen.page
    await screen.open("/console/tokens")
    await screen.presentable("tokens")
    await page.get_by_role("link", name="New token").click()
    await page.get_by_label("Account").fill("Northwind weather")
    await page.get_by_label("Name").fill("billing")
    await screen.presentable("token-new")
    await confirm(screen, "Make the token")
    secret = await page.locator("#secret").inner_text()
    assert secret.startswith("mst_")
    await screen.presentable("token-made")
    await page.get_by_role("link", name="I have it").click()
    await page.get_by_role("row", name="billing").get_by_role("link", name="Revoke").click()
    await page.get_by_text("This touches 1 token").wait_for()
    await screen.presentable("token-revoke")
    await confirm(screen, "Revoke")
    await page.get_by_role("status").get_by_text("was revoked").wait_for()
    await page.get_by_role("row", name="billing").get_by_text("revoked").wait_for()
    assert secret not in await page.content()


async def test_an_agent_is_shown_without_its_secrets_and_closed(screen: Screen, furniture: Furniture) -> None:
    page = screen.page
    await screen.open("/console/agents")
    await screen.presentable("agents")
    await page.get_by_role("link", name="weather", exact=True).click()
    await page.get_by_text("WEATHER_KEY").wait_for()
    assert "hunter2" not in await page.content()
    await screen.presentable("agent")
    await page.get_by_role("link", name="Unpublish").click()
    await confirm(screen, "Unpublish")
    await page.get_by_role("status").get_by_text("is closed for new threads").wait_for()
    await page.get_by_text("not published").wait_for()
    await page.get_by_role("link", name="Publish", exact=True).click()
    await confirm(screen, "Publish")
    await page.get_by_role("status").get_by_text("weather is published").wait_for()
    await page.locator("#part").get_by_text("published", exact=True).wait_for()


async def test_dead_messages_are_told_again(screen: Screen, furniture: Furniture, staff: Staff) -> None:
    page = screen.page
    await screen.open("/console/webhooks")
    await screen.presentable("webhooks-due")
    await page.get_by_role("navigation", name="States").get_by_role("link", name="dead letters").click()
    await screen.presentable("webhooks-dead")
    await page.get_by_role("link", name=furniture.dead[0], exact=True).click()
    await page.get_by_text("answered 404").wait_for()
    await screen.presentable("message")
    await page.get_by_role("link", name="Replay").click()
    await confirm(screen, "Replay")
    await page.get_by_role("status").get_by_text("is told again").wait_for()
    await screen.open(f"/console/webhooks?state=dead&agent={furniture.agent.id}")
    await page.get_by_role("link", name="Replay all of this agent").click()
    await page.get_by_text("This touches 2 messages").wait_for()
    await confirm(screen, "Replay all")
    await page.get_by_role("status").get_by_text("2 messages are told again").wait_for()
    assert await staff.service.pool.fetchval("select count(*) from outbox where parked_at is not null") == 0
    await staff.service.pool.execute("update outbox set delivered_at = now(), status = 204, error = null")
    await page.get_by_role("navigation", name="States").get_by_role("link", name="delivered").click()
    await page.get_by_role("cell", name="204").first.wait_for()
    await screen.presentable("webhooks-delivered")


@pytest.mark.slow
async def test_the_audit_log_is_paged_and_filtered(screen: Screen, furniture: Furniture) -> None:
    page = screen.page
    await screen.open("/console/audit")
    await screen.presentable("audit")
    assert await page.locator("tbody tr").count() == 50
    await page.get_by_role("link", name="older").click()
    assert await page.locator("tbody tr").count() == 13
    await page.get_by_role("link", name="first").click()
    await page.get_by_role("link", name="batch.discard").click()
    await page.get_by_text("sent by a broken client").wait_for()
    assert await page.locator("tbody tr").count() == 1
    await page.get_by_role("link", name="Show all").click()
    await page.get_by_label("Target").fill("batch 4700")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="batch 4700").wait_for()
    assert await page.locator("tbody tr").count() == 1


async def test_a_page_that_is_not_there_is_presentable(screen: Screen) -> None:
    screen.allow("status of 404")
    await screen.open("/console/nothing")
    await screen.presentable("not-found")
