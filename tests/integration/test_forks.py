"""Which messages a runner is told of where a thread has forks: those that lead up to the message it goes on from."""

from collections.abc import AsyncIterator

import pytest

from shared import ids
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_client import Cortex, texts

ROLES = ("user", "assistant")


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings, "tests.odd_runners:recalls") as stage:
        yield stage


async def asked(cortex: Cortex, thread: int, parent: int | None, text: str) -> tuple[str, int]:
    """What the runner was told before this message, and the number of its answer."""
    fields = {} if parent is None else {"parent_message_id": parent}
    answer = await cortex.ask(text, thread_id=thread, **fields)
    return "".join(texts(answer)), answer["metadata"]["assistant_message_id"]


async def test_a_fork_is_told_only_what_leads_up_to_it(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    first = await asked(cortex, thread, 0, "one")
    second = await asked(cortex, thread, first[1], "two")
    fork = await asked(cortex, thread, first[1], "other")
    assert [first[0], second[0], fork[0]] == ["[]", "[user:one|assistant:[]]", "[user:one|assistant:[]]"]
    told, _ = await asked(cortex, thread, fork[1], "on")
    assert told == f"[user:one|assistant:[]|user:other|assistant:{fork[0]}]"
    told, _ = await asked(cortex, thread, second[1], "back")
    assert told == f"[user:one|assistant:[]|user:two|assistant:{second[0]}]"
    assert (await asked(cortex, thread, 0, "anew"))[0] == "[]"


async def test_a_thread_without_forks_is_told_its_latest_messages(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    first, _ = await asked(cortex, thread, None, "one")
    second, _ = await asked(cortex, thread, None, "two")
    assert (first, second) == ("[]", "[user:one|assistant:[]]")
    told, _ = await asked(cortex, thread, None, "three")
    assert told == f"[user:one|assistant:[]|user:two|assistant:{second}]"


async def test_where_a_message_of_the_chain_was_removed_the_one_before_it_stands_for_it(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    _, first = await asked(cortex, thread, 0, "one")
    told, second = await asked(cortex, thread, first, "two")
    await stage.service.pool.execute("delete from messages where num = $1", first)
    assert (await asked(cortex, thread, second, "three"))[0] == f"[user:one|user:two|assistant:{told}]"


async def test_a_parent_that_comes_after_its_child_does_not_make_the_chain_endless(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    _, first = await asked(cortex, thread, 0, "one")
    await stage.service.pool.execute("update messages set parent = num + 7 where role = 'user'")
    assert (await asked(cortex, thread, first, "two"))[0] == "[user:one|assistant:[]]"


async def test_a_long_chain_is_told_by_its_latest_messages(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    thread = await cortex.new()
    row = await stage.service.pool.fetchrow("select partition, thread from thread_numbers")
    assert row is not None
    said = [(*row, ids.mint(), ROLES[n % 2], f'[{{"type": "text", "text": "m{n}"}}]') for n in range(400)]
    await stage.service.pool.executemany(
        "insert into messages (partition, thread, id, role, parts, created_at) values ($1, $2, $3, $4, $5, now())", said
    )
    last = await stage.service.pool.fetchval("select max(num) from messages")
    told, _ = await asked(cortex, thread, last, "next")
    assert told == f"[{'|'.join(f'{ROLES[n % 2]}:m{n}' for n in range(300, 400))}]"
