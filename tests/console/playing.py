"""A browser at the playground: what it is asked to do, and what it must come to show."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Locator

from shared import agents
from shared.ids import AgentId
from shared.settings import Settings
from tests.console.screen import Screen, connected, opened
from tests.console.staff import Staff, staff_of
from tests.proxy import Wire, wire_to
from tests.service import Client, running_service


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


async def lent(play: Play) -> list[bool]:
    """Of each token that was lent, the oldest first, whether it was revoked."""
    rows = await play.staff.service.pool.fetch("select revoked_at from tokens where name = 'playground' order by id")
    return [row["revoked_at"] is not None for row in rows]


@asynccontextmanager
async def playing(settings: Settings, chromium: str, axe: Path) -> AsyncIterator[Play]:
    """The page with an operator logged in, the demo agents, and a worker that executes their runs."""
    async with running_service(settings, roles="all") as service:
        staff, client = await staff_of(service), await service.client("dev")
        config = "update agents set runner = 'python', config = '{\"function\": \"worker.runners.demo:echo\"}'"
        await service.pool.execute(config)
        approve = await agents.create_agent(
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
