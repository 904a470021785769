"""Writes of the OpenAI dialect where two of one key overlap: what the second looks at, the first may have changed."""

import pytest
from aiohttp.test_utils import make_mocked_request

from api.agents import Agents
from api.auth import Tokens
from api.gate import Gate
from api.handlers.door import Door
from api.handlers.openai_writes import Asked, Write
from api.postgres import Postgres
from api.submission import Idempotency
from shared.errors import IdempotencyConflict, InvalidRequest, NotFound, ReadinessBlocked, ThreadmillError
from shared.events import ThreadEdited
from shared.ids import ThreadId
from shared.models import TokenKind
from shared.settings import Settings
from shared.views import Caller
from tests.driver import Driver

KEY = Idempotency("key-1", "POST /x", b"digest")


@pytest.fixture
async def write(driver: Driver, settings: Settings) -> Write:
    inbox = driver.caller.inbox
    postgres = Postgres(driver.pool)
    door = Door(settings, inbox, postgres, Tokens(postgres, settings), Agents(postgres), Gate(settings, postgres))
    caller = Caller(driver.caller.token, driver.caller.account, TokenKind.HUMAN_PAT, b"")
    return Write(door, make_mocked_request("POST", "/v1/threads"), caller, 0.0, KEY)


def editing(thread: ThreadId, basis: str) -> Asked:
    return Asked(thread, (ThreadEdited("name"),), {"of": basis})


@pytest.mark.parametrize("error", [NotFound, InvalidRequest, ReadinessBlocked])
async def test_what_the_first_request_made_missing_is_no_refusal_of_the_second(
    driver: Driver, write: Write, error: type[ThreadmillError]
) -> None:
    thread = await driver.create()

    async def first() -> Asked:
        return editing(thread, "first")

    async def overtaken() -> Asked:
        """Between the look at the key and this one the first request came in, and was applied."""
        await write.tell(first)
        await driver.drain()
        raise error("Gone.")

    told = await write.tell(overtaken)
    assert (told.replayed, told.basis, told.thread) == (True, {"of": "first"}, thread)


async def test_of_two_that_both_found_the_key_unused_one_is_stored_and_told_by_both(
    driver: Driver, write: Write
) -> None:
    thread = await driver.create()

    async def first() -> Asked:
        return editing(thread, "first")

    async def second() -> Asked:
        await write.tell(first)
        await driver.drain()
        return editing(thread, "second")

    told = await write.tell(second)
    assert (told.replayed, told.basis) == (True, {"of": "first"})
    assert (
        await driver.pool.fetchval("select count(*) from batches where applied_at is not null") == 2
    )  # and the create


async def test_a_second_one_beside_a_first_that_is_under_way_is_told_to_come_again(
    driver: Driver, write: Write
) -> None:
    thread = await driver.create()

    async def first() -> Asked:
        return editing(thread, "first")

    async def late() -> Asked:
        await write.tell(first)
        raise NotFound

    with pytest.raises(IdempotencyConflict) as told:
        await write.tell(late)
    assert told.value.retry_after == 2


async def test_where_there_was_no_first_request_what_is_missing_is_missing(driver: Driver, write: Write) -> None:
    async def missing() -> Asked:
        raise NotFound("There is no such message.")

    with pytest.raises(NotFound, match="no such message") as told:
        await write.tell(missing)
    assert not told.value.replayed
