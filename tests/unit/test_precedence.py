"""Who goes first at the door, and for how long those with many requests rest."""

import asyncio
from dataclasses import dataclass

from api.precedence import LITTLE, LONGEST, MUCH, PLACES, Precedence
from shared.ids import AccountId, Ulid


@dataclass(frozen=True, slots=True)
class Request:
    account: AccountId
    number: int


def sent(account: str, count: int) -> list[Request]:
    return [Request(AccountId(Ulid(account)), number) for number in range(count)]


async def test_accounts_with_few_go_before_all_but_one_and_all_keep_their_own_order() -> None:
    noisy, quiet = sent("noisy", MUCH + 1), sent("quiet", LITTLE)
    assert Precedence().order([*noisy[:9], *quiet, *noisy[9:]]) == [noisy[0], *quiet, *noisy[1:]]


async def test_however_many_with_few_there_are_one_with_many_has_a_place_in_each_flush() -> None:
    noisy, others = sent("noisy", MUCH + 1), [one for n in range(100) for one in sent(f"account {n}", 1)]
    order = Precedence().order([*noisy, *others])
    assert order[0] == noisy[0]  # a flush may have room for a single one
    assert [one for one in order[: 6 * PLACES] if one in noisy] == noisy[:6]
    assert [one for one in order if one not in noisy] == others
    assert len(order) == len(noisy) + len(others)


async def test_an_account_that_is_alone_never_rests() -> None:
    door = Precedence()
    noisy = sent("noisy", 10 * MUCH)
    for _ in range(3):
        assert door.order(noisy) == noisy
        assert not door.owes


async def test_many_accounts_with_few_each_go_as_they_came() -> None:
    everyone = [one for n in range(MUCH) for one in sent(f"account {n}", LITTLE)]
    door = Precedence()
    assert door.order(everyone) == everyone
    assert not door.owes


async def test_behind_its_flush_one_with_many_rests_for_as_long_as_that_took_and_others_go() -> None:
    door, time = Precedence(), asyncio.get_running_loop().time
    noisy, quiet = sent("noisy", MUCH + 1), sent("quiet", 1)
    door.order([*noisy, *quiet])
    assert door.owes
    took = 0.02
    door.rest(time() - took)
    assert door.order([*noisy, *quiet]) == quiet
    assert door.order(noisy) == []
    assert not door.owes
    assert 0 < door.rest_until - time() <= took + 0.001
    await asyncio.sleep(door.rest_until - time() + 0.001)
    assert door.order(noisy) == noisy


async def test_nobody_rests_longer_for_a_flush_that_hung() -> None:
    door, time = Precedence(), asyncio.get_running_loop().time
    door.order([*sent("noisy", MUCH + 1), *sent("quiet", 1)])
    door.rest(time() - 5)
    assert door.rest_until <= time() + LONGEST


async def test_once_others_are_gone_nobody_rests() -> None:
    door, time = Precedence(), asyncio.get_running_loop().time
    noisy = sent("noisy", MUCH + 1)
    door.order([*noisy, *sent("quiet", 1)])
    door.rest(time())
    door._wary_until = time() - 1e-6  # it was a second ago
    assert door.order(noisy) == noisy
