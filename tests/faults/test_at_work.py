"""Who does no work at the end of a fault run is named, though others do it, and though it says that it is ready."""

import signal

import pytest

from tests.faults import at_work
from tests.faults.clients import Load, Sender, chance
from tests.faults.processes import Stack
from tests.faults.waiting import until

ROLES = ("apply", "execute", "all")


@pytest.mark.long
async def test_who_does_nothing_is_named_and_nobody_else(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        stack.api()
    for role in ROLES:
        stack.worker(role=role)
    access, db = await stack.access(), await stack.database()
    await stack.ready()
    sender = Sender(stack.session, [api.url for api in stack.apis], access.token, chance(1))
    load = Load(sender, [await sender.create_thread(access.agent) for _ in range(20)], seed=1, batches=0)
    look = await at_work.at_work(stack, load, ROLES)
    assert await look.idle() == []
    quiet, pid = stack.workers[2], stack.workers[2].process.pid
    await db.execute("update workers set asked = 'quiet' where pid = $1", pid)
    await until("it is quiet", lambda: db.fetchval("select doing = 'quiet' from workers where pid = $1", pid))
    stack.apis[1].signal(signal.SIGSTOP)
    monkeypatch.setattr(at_work, "WITHIN", 12.0)
    found = [violation.what.split()[0] for violation in await look.idle()]
    stack.apis[1].signal(signal.SIGCONT)
    assert found == ["api-1", quiet.name, quiet.name]
    await db.close()
