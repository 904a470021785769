"""The service over HTTP, with a worker's crew; one that executes runs; two accounts that know nothing of each other."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api import budgets
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_client import Cortex
from tests.contract.openai_client import sdk
from tests.service import Client, Service, running_service


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with running_service(settings) as service:
        yield service


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    """A service that executes runs, and a client whose agent is what the test says."""
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
async def cortex(stage: Stage) -> Cortex:
    return Cortex(stage.client)


@pytest.fixture
async def live(settings: Settings) -> AsyncIterator[Cortex]:
    """A service of its own, set to Cortex' other shapes."""
    async with running_stage(settings.model_copy(update={"cortex_shapes": "live"})) as stage:
        yield Cortex(stage.client)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy is no Redis that is away."""
    monkeypatch.setattr(budgets, "TIMEOUT", 10.0)


@pytest.fixture
async def limited(settings: Settings, patient: None) -> AsyncIterator[Service]:
    """A service that looks at a caller's limits with each request."""
    async with running_service(settings.model_copy(update={"token_cache": 0.0})) as service:
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
