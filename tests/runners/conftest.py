"""Fixtures of the built-in runners: a server of each protocol, a context."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from tests import openai_server
from tests.model_tools import used
from tests.openai_server import OpenAIServer
from tests.runners import agui
from worker.runners import Context, Message

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def upstream() -> AsyncIterator[agui.Upstream]:
    async with agui.serving() as upstream:
        yield upstream


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    used.clear()
    async with openai_server.serving() as server:
        yield server


@pytest.fixture
def ctx() -> Context:
    return Context(
        thread="THREAD", run="RUN", account="ACCOUNT", agent="AGENT", messages=[Message("M3", "user", "Hello?", NOON)]
    )
