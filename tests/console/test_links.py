"""No page of the console leads nowhere: each kind of address that a page links to is opened, once or twice."""

import html
import re
from collections import Counter, deque
from collections.abc import AsyncIterator

import pytest

from shared import ids, webhooks
from shared.ids import ThreadId
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.console.browsing import Browsing
from tests.console.staff import staff_of
from tests.pipeline import PARTITIONS
from tests.rows import Owner, Row, add_batch, add_file, attach

LINK = re.compile(r'href="(/console[^"#]*)')
OF_A_KIND = 2  # of addresses that differ in their ids and numbers alone


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    """A run that waits for a permission, and one that is over; a batch that waits, a dead letter; webhooks; a file."""
    async with running_stage(settings, "worker.runners.demo:approve") as stage:
        pool, client = stage.service.pool, stage.client
        await webhooks.set_webhook(pool, client.agent, "https://example.com/hook")
        thread, run = await stage.start()
        await stage.until(thread, run, "waiting_input")
        over, other = await stage.start()
        await stage.until(over, other, "waiting_input")
        await stage.interrupt(over)
        await pool.execute("update partitions set paused = true")
        place = Row(ids.partition_of(ids.Ulid(thread), PARTITIONS), ThreadId(ids.Ulid(thread)))
        owner = Owner(client.account, client.token_id)
        for parked in (False, True):
            await add_batch(pool, owner, place, parked=parked)
        await attach(pool, place.id, await add_file(pool, owner))
        await pool.execute("update outbox set parked_at = now() where run = $1", other)
        yield stage


def kind(address: str) -> str:
    """What it has in common with like ones."""
    return re.sub(r"\d+", "#", re.sub(r"[0-9A-Z]{26}|after=[^&]*", "ID", address))


@pytest.mark.slow
async def test_each_link_of_each_page_leads_to_one(stage: Stage) -> None:
    staff = await staff_of(stage.service)
    seen = await crawled(await staff.browsing(staff.admin))
    assert {address: status for address, status in seen.items() if status != 200} == {}
    kinds = {kind(address) for address in seen}
    assert {"/console/runs/ID/ID", "/console/webhooks/msg_ID", "/console/dead/#", "/console/threads/ID"} <= kinds
    assert {"/console/files/ID", "/console/files/delete?id=ID", "/console/files?account=ID"} <= kinds


async def crawled(operator: Browsing) -> dict[str, int]:
    """The addresses that were opened, and what each was answered with."""
    todo, seen, kinds = deque(["/console"]), dict[str, int](), Counter[str]()
    while todo:
        address = todo.popleft()
        if address in seen or "/static/" in address or kinds[kind(address)] == OF_A_KIND:
            continue
        kinds[kind(address)] += 1
        page = await operator.open(address)
        seen[address] = page.status
        todo += [html.unescape(link) for link in LINK.findall(page.text)]
    return seen
