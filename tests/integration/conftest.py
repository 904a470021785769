"""What the tests of the pipeline share: a driver by hand."""

from collections.abc import AsyncIterator

import pytest

from shared.settings import Settings
from tests.driver import Driver, running_driver


@pytest.fixture
async def driver(settings: Settings) -> AsyncIterator[Driver]:
    async with running_driver(settings) as driver:
        yield driver
