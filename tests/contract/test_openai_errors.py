"""Each error of the service, as the class that OpenAI's client has for it."""

from typing import Any

import openai
import pytest

from shared.settings import Settings
from tests.contract.openai_client import call, sdk
from tests.service import Client, running_service

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]


async def test_what_is_refused_is_the_class_that_the_client_has_for_it(client: Client, threads: Any) -> None:
    thread = await threads.create()
    with pytest.raises(openai.BadRequestError) as wrong:
        await threads.update(thread.id, metadata={"a": "v" * 513})
    assert (wrong.value.param, wrong.value.code) == ("metadata", "invalid_request")
    with pytest.raises(openai.NotFoundError) as unknown:
        await threads.retrieve("nonsense")
    assert (unknown.value.status_code, unknown.value.code) == (404, "not_found")
    with pytest.raises(openai.APIStatusError) as large:
        await threads.messages.create(thread.id, role="user", content="x" * 1_100_000)
    assert (large.value.status_code, type(large.value)) == (413, openai.APIStatusError)
    async with sdk(client.using("mst_" + "a" * 43), max_retries=0) as nobody:
        with pytest.raises(openai.AuthenticationError) as refused:
            await nobody.beta.threads.create()
    assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")
    assert refused.value.request_id


async def test_without_a_worker_an_edit_is_an_internal_server_error_or_a_timeout(settings: Settings) -> None:
    """The client's own patience ends before the service's, or after it."""
    quick = settings.model_copy(update={"wait_limit": 0.5})
    async with running_service(quick, worker=False) as service:
        client = await service.client("acme")
        thread = (await call(client, "POST", "/v1/threads", {})).json["id"]
        async with sdk(client, max_retries=0) as patient, sdk(client, max_retries=0, timeout=0.05) as hasty:
            with pytest.raises(openai.InternalServerError) as refused:
                await patient.beta.threads.update(thread, metadata={"a": "1"})
            assert (refused.value.status_code, refused.value.type) == (503, "server_error")
            assert refused.value.response.headers["retry-after"]
            with pytest.raises(openai.APITimeoutError):
                await hasty.beta.threads.update(thread, metadata={"a": "1"})


async def test_a_service_that_is_away_is_a_connection_error(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
    async with sdk(client, max_retries=0) as made:
        with pytest.raises(openai.APIConnectionError) as refused:
            await made.beta.threads.create()
    assert not isinstance(refused.value, openai.APITimeoutError)
