"""No read asks once more for each entry: a page of a hundred takes the statements that a page of one takes."""

from collections.abc import AsyncIterator

import pytest

from shared.ids import ThreadId
from shared.settings import Settings
from tests.heard import Heard, heard_api, shown
from tests.long_thread import FIRST, TALKER, fill, id_of
from tests.service import Client

pytestmark = [pytest.mark.slow, pytest.mark.dialect]

FOURS = 150  # runs, and as many messages of one of them; four times as many of the thread
SIZES = (1, 20, 100)
OPENAI, AIML, NATIVE = "/v1/threads/{thread}", "/threads/{thread}", "/api/v1/threads/{thread}"
CORTEX = f"/api/v2/cortex/threads/{FIRST}"
MESSAGES = ["reads.thread", "messages.newest"]
OLDEST = ["reads.thread", "messages.oldest"]
# The oldest of the thread's runs waits: where it is on a page, there is a statement more.
LISTS: dict[str, list[str]] = {
    f"{OPENAI}/messages?limit={{size}}": MESSAGES,
    f"{OPENAI}/messages?limit={{size}}&order=asc": OLDEST,
    f"{OPENAI}/messages?limit={{size}}&after={id_of(400)}": ["reads.thread", "messages.one", "messages.newest"],
    f"{OPENAI}/messages?limit={{size}}&before={id_of(200)}": ["reads.thread", "messages.one", "messages.oldest"],
    f"{OPENAI}/messages?limit={{size}}&after={id_of(400)}&before={id_of(2)}": [
        "reads.thread",
        *("messages.one", "messages.one"),
        "messages.newest",
    ],
    f"{OPENAI}/messages?limit={{size}}&run_id={id_of(TALKER)}": [
        "reads.thread",
        "reads.run",
        "messages.newest_of_run",
    ],
    f"{AIML}/messages?limit={{size}}": MESSAGES,
    f"{OPENAI}/runs?limit={{size}}": ["reads.thread", "runs.newest"],
    f"{OPENAI}/runs?limit={{size}}&order=asc": ["reads.thread", "runs.oldest", "runs.open_requests"],
    f"{OPENAI}/runs?limit={{size}}&after={id_of(598)}": ["reads.thread", "runs.one", "runs.newest"],
    f"{CORTEX}?page_size={{size}}": ["numbers.described", "messages.newest", "answers.requests_of"],
    f"{CORTEX}?page_size={{size}}&last_message_id=2000000401": [
        "numbers.described",
        "messages.newest",
        "answers.requests_of",
    ],
    f"{NATIVE}/runs?limit={{size}}": ["reads.thread", "reads.runs"],
    f"{NATIVE}/events?limit={{size}}": ["reads.thread", "reads.events_before", "reads.deltas_before"],
    f"{NATIVE}/events?limit={{size}}&after={id_of(1)}": ["reads.thread", "reads.events_after"],
    "/api/v1/agents/{agent}/threads?limit={size}": ["reads.threads"],
}
SINGLE: dict[str, list[str]] = {
    OPENAI: ["reads.thread", "reads.metadata"],
    f"{OPENAI}/messages/{id_of(1)}": ["reads.thread", "messages.one"],
    f"{OPENAI}/runs/{id_of(2)}": ["reads.thread", "runs.one"],
    f"{OPENAI}/runs/{id_of(TALKER)}": ["reads.thread", "runs.one", "runs.open_requests"],
    NATIVE: ["reads.thread", "reads.run"],
    f"{NATIVE}/runs/{id_of(2)}": ["reads.thread", "reads.run"],
}
COMPLETE = (
    "update threads set agent = $1, last_run_id = $2 where account = $3",
    "update runs set status = 'waiting_input', completed_at = null where id = $1",
    "insert into permission_requests (partition, thread, id, run, title, created_at)"
    " select partition, thread, gen_random_uuid(), id, '', now() from runs, generate_series(1, 50) where id = $1",
    "insert into thread_events (partition, thread, id, run, type, content, occurred_at, message)"
    " select partition, thread, id, run, 'agent.message.delta', 'a', now(), id"
    " from messages where thread = $1 and role = 'assistant'",
)


@pytest.fixture
async def heard(settings: Settings) -> AsyncIterator[Heard]:
    async with heard_api(settings) as heard:
        yield heard


async def stock(heard: Heard, client: Client) -> ThreadId:
    """An account whose lists are longer than any page."""
    async with heard.service.pool.acquire() as db:
        thread = await fill(client, db, FOURS)
        for statement, given in zip(
            COMPLETE,
            ((client.agent, id_of(2), client.account), (id_of(TALKER),), (id_of(TALKER),), (thread,)),
            strict=True,
        ):
            await db.execute(statement, *given)
    return thread


async def names(heard: Heard, client: Client, path: str) -> tuple[int, list[str]]:
    """How many entries a read shows, and by which statements; its token and its agent are known already."""
    await heard.get(client, path)
    answer, asked = await heard.get(client, path)
    return len(shown(answer)), [f"{one.noun}.{one.name}" for one in asked]


async def test_a_page_of_a_hundred_takes_the_statements_of_a_page_of_one(heard: Heard) -> None:
    client = await heard.service.client("acme")
    thread = await stock(heard, client)
    for path, wanted in LISTS.items():
        for size in SIZES:
            url = path.format(thread=thread, agent=client.agent, size=size)
            assert (url, *(await names(heard, client, url))) == (url, size, wanted)
    for path, wanted in SINGLE.items():
        url = path.format(thread=thread)
        assert (url, *(await names(heard, client, url))) == (url, 1, wanted)


async def test_a_list_without_pages_takes_one_statement_however_long_it_is(heard: Heard) -> None:
    few, many = await heard.service.client("acme"), await heard.service.client("globex")
    await heard.service.pool.execute(
        "insert into threads (partition, id, account, created_by, created_by_kind)"
        " values (0, gen_random_uuid(), $1, $1, 'human_pat')",
        few.account,
    )
    await stock(heard, many)
    for client, count in ((few, 1), (many, 1_001)):
        assert await names(heard, client, "/api/v2/cortex/threads") == (count, ["numbers.listed"])


async def test_threads_without_numbers_get_them_all_at_once(heard: Heard) -> None:
    client = await heard.service.client("acme")
    await stock(heard, client)
    await heard.service.pool.execute("delete from thread_numbers")
    answer, asked = await heard.get(client, "/api/v2/cortex/threads")
    assert len(answer) == 1_001
    numbering = ["listed", "numbers", "number", "numbers"]
    assert [one.name for one in asked if one.noun == "numbers"] == numbering
