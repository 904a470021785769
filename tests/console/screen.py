"""A page in a real browser that forgives nothing: an error in its console, or a breach of its CSP, fails the test."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Response, async_playwright

WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
_PATIENCE = 10_000  # ms of any wait
# Impacts of axe-core that fail a test.
_GRAVE = {"serious", "critical"}


@dataclass(slots=True)
class Screen:
    page: Page
    url: str
    axe: Path
    wrong: list[str] = field(default_factory=list)  # what the browser complained about
    allowed: list[str] = field(default_factory=list)  # patterns of what it may complain about

    def __post_init__(self) -> None:
        self.page.set_default_timeout(_PATIENCE)
        self.page.on("console", partial(Screen._said, self))  # of a bound method playwright would mark the object
        self.page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"{message.type}: {message.text}")

    def allow(self, pattern: str) -> None:
        """Of a page that is meant to be refused, say: the browser's console tells of its status."""
        self.allowed.append(pattern)

    def check(self) -> None:
        left = [text for text in self.wrong if not any(re.search(pattern, text) for pattern in self.allowed)]
        assert not left, left

    async def open(self, path: str) -> Response | None:
        return await self.page.goto(f"{self.url}{path}", wait_until="domcontentloaded")

    async def log_in(self, token: str) -> None:
        await self.open("/console/login")
        await self.page.get_by_label("Operator's token").fill(token)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_url(f"{self.url}/console")

    async def accessible(self) -> None:
        """Fails on what axe-core finds serious or critical in the page as it is."""
        await self.page.evaluate(self.axe.read_text(encoding="utf-8"))
        found: dict[str, Any] = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        grave = [
            f"{one['id']} ({one['impact']}): {node['html'][:200]} {node.get('failureSummary', '')}"
            for one in found["violations"]
            if one["impact"] in _GRAVE
            for node in one["nodes"]
        ]
        assert not grave, "\n".join(grave)

    async def shoot(self, name: str) -> None:
        """Pictures in light, in dark and on a phone, into the directory that SCREENSHOTS names; nothing without it."""
        if (directory := os.environ.get("SCREENSHOTS")) is None:
            return
        os.makedirs(directory, exist_ok=True)  # noqa: PTH103 - of a picture nobody minds the wait
        for kind, size in (("light", WIDE), ("dark", WIDE), ("phone", PHONE)):
            await self.page.set_viewport_size({"width": size["width"], "height": size["height"]})
            await self.page.emulate_media(color_scheme="dark" if kind == "dark" else "light")
            await self.page.screenshot(path=Path(directory) / f"{name}-{kind}.png", full_page=True)
        await self.page.set_viewport_size({"width": WIDE["width"], "height": WIDE["height"]})

    async def fits(self) -> None:
        """Fails where the page itself scrolls sideways on a phone."""
        await self.page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        wide = await self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"the page is {wide} px wide on a phone"
        await self.page.set_viewport_size({"width": WIDE["width"], "height": WIDE["height"]})

    async def presentable(self, name: str) -> None:
        """All of it: pictures, a phone, and axe-core in both themes."""
        await self.shoot(name)
        await self.fits()
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await self.accessible()
        await self.page.emulate_media(color_scheme="light")


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Browser]:
    """The session's browser, for one test: what drives it lives in the test's own loop."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(address)
        yield browser
        await browser.close()


@asynccontextmanager
async def opened(browser: Browser, url: str, axe: Path) -> AsyncIterator[Screen]:
    """A window of its own, with its own cookies."""
    context = await browser.new_context(viewport={"width": WIDE["width"], "height": WIDE["height"]})
    screen = Screen(await context.new_page(), url, axe)
    yield screen
    await context.close()
    screen.check()
