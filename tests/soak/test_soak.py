"""The soak in short: an api that leaks is found, and one that does not is not."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from deploy import children
from tests.faults.processes import Member, Stack
from tests.faults.servers import Servers
from tests.soak.run import Plan, Soak, soak

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(240)]

SHORT = Plan(60.0, faults=False)


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    servers = Servers()
    try:
        await servers.start()
        yield servers
    finally:
        await servers.stop()


async def with_leaking_api(stack: Stack) -> None:
    """The first api is one that leaks."""
    member: Member = stack.apis[0]
    await member.kill()
    program, _, module = member.command.argv
    member.command = replace(member.command, argv=(program, "-m", "tests.soak.leaking", module))
    member.process = children.spawn(member.command)


def left(found: Soak, process: str) -> set[str]:
    return {check.what for check in found.checks if check.process == process and not check.passed}


async def test_an_api_that_keeps_something_of_each_request_is_found(servers: Servers) -> None:
    found = await soak(SHORT, servers, lambda _: None, with_leaking_api)
    assert not found.passed
    assert {"descriptors left at rest", "tasks left at rest", "tasks grew"} <= left(found, "api-0")
    assert not {what for what in left(found, "api-1") if what.endswith("left at rest")}
    assert not found.dry, found.disturbed
    assert not found.lacking, found.done
