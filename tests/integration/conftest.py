"""What the tests of the pipeline share: a driver by hand."""

from collections.abc import AsyncIterator

import pytest
import structlog

from shared.settings import Settings
from tests.driver import Driver, running_driver


@pytest.fixture
async def driver(settings: Settings) -> AsyncIterator[Driver]:
    async with running_driver(settings) as driver:
        yield driver


@pytest.fixture(autouse=True, scope="session")
def plain_logs() -> None:
    """Exceptions that a test provokes are logged as plain text: drawing them takes longer than the test."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
