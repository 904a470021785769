"""A commit behind what was read: shared by all who wait, and told where it fails. With a standby: tests/failover."""

import asyncio

import pytest

from api.confirmation import Confirmation
from deploy import ports
from shared.errors import ServiceInactive
from shared.settings import Settings


async def test_many_who_come_together_cost_two_commits(settings: Settings) -> None:
    confirmation = Confirmation(settings.database_url)
    await asyncio.gather(*(confirmation.confirm() for _ in range(50)))
    assert confirmation.commits == 2, "the first one begins at once, which is too soon for the others"
    await confirmation.close()


async def test_where_it_fails_all_who_wait_are_told_and_the_next_one_tries_again(settings: Settings) -> None:
    confirmation = Confirmation(f"postgresql://u:p@127.0.0.1:{ports.pick()}/x")
    found = await asyncio.gather(*(confirmation.confirm() for _ in range(50)), return_exceptions=True)
    assert {type(one) for one in found} == {ServiceInactive}
    assert confirmation.commits == 2
    with pytest.raises(ServiceInactive):
        await confirmation.confirm()
    assert confirmation.commits == 3
    await confirmation.close()


async def test_one_that_is_cancelled_leaves_the_others_theirs(settings: Settings) -> None:
    confirmation = Confirmation(settings.database_url)
    await confirmation.confirm()
    gone = asyncio.create_task(confirmation.confirm())
    await asyncio.sleep(0)  # it begins
    others = [asyncio.create_task(confirmation.confirm()) for _ in range(5)]
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(*others)
    assert gone.cancelled()
    await confirmation.close()
