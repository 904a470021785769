"""Page 5,000 of a thread with 500,000 messages costs what page 1 costs, in every dialect, order and direction.

The statements and their arguments are those that the api sends for real requests. Each is executed by a plan from when
the tables were empty, by a plan for any arguments, and by one for these.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.ids import ThreadId
from shared.settings import Settings
from tests.heard import Asked, Heard, heard_api, shown
from tests.long_thread import PAGE, fill, forms
from tests.prepared import Executed, execute, session
from tests.service import Client

pytestmark = [pytest.mark.slow, pytest.mark.dialect, pytest.mark.timeout(300)]  # rows by the hundred thousand

NOUNS = ("reads", "messages", "runs", "answers", "numbers")
# Between two pages of one list: the row of a cursor; the one behind a page, which says that there are more; what a run
# answers or says.
ROWS = 4
BUFFERS = 20  # the way to a cursor; entries that lie on a block more or less
MOST = 3 * PAGE + 10  # rows that one page looks at: its entries, and of each a row of another table or two


@pytest.fixture
async def heard(settings: Settings) -> AsyncIterator[Heard]:
    async with heard_api(settings) as heard:
        yield heard


def even(pages: list[list[Executed]]) -> bool:
    """Whether pages of one list cost the same: by the same indexes, with as many rows and buffers."""
    rows = [sum(plan.looked_at for plan in page) for page in pages]
    buffers = [sum(plan.buffers for plan in page) for page in pages]
    first, *others = [{(scan.table, scan.index) for plan in page for scan in plan.scans} for page in pages]
    return (
        max(rows) <= MOST
        and max(rows) - min(rows) <= ROWS
        and max(buffers) - min(buffers) <= BUFFERS
        and all(index for _, index in first)
        and all(first <= other == others[0] for other in others)
    )


@pytest.mark.long
async def test_page_5000_costs_what_page_1_costs(heard: Heard, settings: Settings) -> None:
    early = await session(settings.database_url, "force_generic_plan", *NOUNS)
    client = await heard.service.client("acme")
    thread = await fill(client, early)
    asked = await ask(heard, client, thread)
    wrong = {"planned before": await uneven(early, asked)}
    await early.execute("analyze")
    for mode in ("force_generic_plan", "force_custom_plan"):
        later = await session(settings.database_url, mode, *NOUNS)
        wrong[mode] = await uneven(later, asked)
        await later.close()
    await early.close()
    assert not any(wrong.values()), "\n".join(f"{mode}: {line}" for mode, lines in wrong.items() for line in lines)


async def ask(heard: Heard, client: Client, thread: ThreadId) -> dict[str, list[list[Asked]]]:
    """What the api asks for the first page of each list, one in the middle, and the last; they show what they must."""
    await heard.get(client, f"/v1/threads/{thread}")  # what is read once, and kept
    asked: dict[str, list[list[Asked]]] = {}
    for name, form in forms(thread).items():
        asked[name] = []
        for n in (0, form.last // 2, form.last):
            answer, statements = await heard.get(client, form.path(n))
            assert shown(answer) == form.shown(n), (name, n)
            asked[name].append(statements)
    return asked


async def uneven(connection: asyncpg.Connection, asked: dict[str, list[list[Asked]]]) -> list[str]:
    """The lists of which one page costs more than another."""
    found = []
    for name, requests in asked.items():
        pages = [[await execute(connection, *one[:2], *one.arguments) for one in statements] for statements in requests]
        if not even(pages):
            found += [f"{name}:", *(f"    {plan}" for page in pages for plan in page)]
    return found
