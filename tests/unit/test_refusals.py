"""Who was refused, told later: nothing is lost while Redis is away but what is too much to keep."""

import asyncio

from api.refusals import HELD, Refusals
from shared import ids
from shared.ids import AccountId, TokenId
from shared.keys import Keys
from shared.queue import Queue, open_redis

ACCOUNT = AccountId(ids.mint())


async def test_while_redis_is_away_so_many_are_kept_and_these_are_the_latest() -> None:
    queue = Queue(open_redis("redis://127.0.0.1:1/0", 1.0), Keys(""))
    refusals, known = Refusals(queue), TokenId(ids.mint())
    for _ in range(3):
        refusals.add("in_flight", ACCOUNT, known)
        telling = asyncio.create_task(refusals.tell())
        await asyncio.sleep(0)  # it is on its way
        for _ in range(HELD):
            refusals.add("in_flight", ACCOUNT, TokenId(ids.mint()))
        refusals.add("in_flight", ACCOUNT, known)
        await telling
    assert len(refusals._counts) == HELD
    assert list(refusals._counts.items())[-1] == (f"in_flight {ACCOUNT} {known}", 6), "its counts of before are kept"
    refusals.add("in_flight", ACCOUNT, late := TokenId(ids.mint()))
    assert list(refusals._counts)[-1].endswith(late)
    assert len(refusals._counts) == HELD
    await queue.close()
