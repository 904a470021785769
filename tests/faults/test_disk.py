"""Row 8 of the list of faults, the disk: whoever can't be written down is told to come again, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.faults.disk import CannotMountError
from tests.faults.processes import Stack
from tests.faults.scene import Scene, scene
from tests.faults.servers import Servers
from tests.faults.waiting import until

BACK = 20.0  # seconds in which a process serves again
ENOUGH = 200  # batches, of which one needs another page of the disk


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    """With a disk that can be full: servers of this file's own."""
    servers = Servers()
    try:
        servers.mount_disk()
    except CannotMountError as error:
        pytest.skip(str(error))
    try:
        await servers.start()
        yield servers
    finally:
        await servers.stop()


async def fill_up(s: Scene) -> list[int | None]:
    """The answers to one batch after the other, until one finds no room."""
    answers: list[int | None] = []
    while not answers or (answers[-1] == 200 and len(answers) < ENOUGH):
        text = f"say m0-{len(s.history)} {'at length ' * 500}"
        answers.append((await s.sender().send(s.request({"type": "user_message", "text": text}))).status)
    return answers


@pytest.mark.parametrize("log", [False, True], ids=["no room for data", "no room for the log"])
async def test_without_room_on_the_disk_clients_are_told_to_come_again_and_nothing_is_lost(
    servers: Servers, stack: Stack, log: bool
) -> None:
    api, worker = stack.api(), stack.worker()
    async with scene(stack) as s:
        assert (await s.sender().send(s.request())).status == 200
        assert servers.disk is not None
        servers.disk.fill()
        if log:
            await servers.use_up_log()
        answers = await fill_up(s)
        assert set(answers[:-1]) <= {200}
        assert answers[-1] == 503
        reply = s.history[-1].replies[-1]
        assert reply.retry_after is not None
        servers.disk.free()
        became = await servers.revive_postgres()
        assert (became != "it went on") == log, became
        await s.reconnect()
        async with asyncio.timeout(BACK):
            for request in (*s.history, s.request()):
                await s.sender().settle(request)
                assert request.acknowledged
        await until("the bell works", s.bell_works, BACK)
        assert (api.process.poll(), worker.process.poll()) == (None, None)
        assert await s.violations() == []
