"""The service over HTTP, with a worker's crew, and two accounts that know nothing of each other."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.settings import Settings
from tests.contract.openai_client import sdk
from tests.service import Client, Service, running_service


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with running_service(settings) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> Client:
    return await service.client("acme")


@pytest.fixture
async def stranger(service: Service) -> Client:
    return await service.client("globex")


@pytest.fixture
async def threads(client: Client) -> AsyncIterator[Any]:
    """`beta.threads` of OpenAI's own client; not typed, because all of it is marked as deprecated."""
    async with sdk(client, max_retries=0) as made:
        yield made.beta.threads
