"""A service with operators who are logged in to its console."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.settings import Settings
from tests import node_client
from tests.console.browsing import Browsing
from tests.console.chromium import running_chromium
from tests.console.playing import Play, playing
from tests.console.screen import Screen, connected, opened
from tests.console.staff import Staff, staff_of
from tests.service import running_service


@pytest.fixture
async def staff(settings: Settings) -> AsyncIterator[Staff]:
    async with running_service(settings, worker=False) as service:
        yield await staff_of(service)  # its session keeps no cookies: aiohttp takes none of an address


@pytest.fixture
async def operator(staff: Staff) -> Browsing:
    """Somebody who may act."""
    return await staff.browsing(staff.admin)


@pytest.fixture
async def viewer(staff: Staff) -> Browsing:
    """Somebody who may look."""
    return await staff.browsing(staff.viewer)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the session's browser."""
    with running_chromium(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node_client.installed(tmp_path_factory).directory / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
async def viewer_screen(chromium: str, axe: Path, staff: Staff) -> AsyncIterator[Screen]:
    """A window in which somebody who may only look is logged in."""
    async with connected(chromium) as browser, opened(browser, staff.service.url, axe) as screen:
        await screen.log_in(staff.viewer)
        yield screen


@pytest.fixture
async def screen(chromium: str, axe: Path, staff: Staff) -> AsyncIterator[Screen]:
    """A window in which somebody who may act is logged in."""
    async with connected(chromium) as browser, opened(browser, staff.service.url, axe) as screen:
        await screen.log_in(staff.admin)
        yield screen


@pytest.fixture
async def play(settings: Settings, chromium: str, axe: Path) -> AsyncIterator[Play]:
    async with playing(settings, chromium, axe) as play:
        yield play
