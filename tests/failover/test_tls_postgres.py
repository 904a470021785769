"""Postgres behind TLS, whose certificate can't be verified for a while: to who runs, an outage as any other."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from deploy import children, embedded, ports
from shared.db.connect import AWAY, connect
from shared.db.migrate import migrate
from tests.failover.certificates import OPENSSL, make_certificate
from tests.failover.trial import Size, Trial, trial
from tests.faults.history import Request
from tests.faults.processes import Member
from tests.faults.waiting import until
from tests.servers import execute
from worker.poison import is_state

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)  # Debian's: the wheel's speaks no TLS
pytestmark = pytest.mark.skipif(not (PROGRAMS and OPENSSL), reason="Debian's postgres or openssl is missing")

BACK = 20.0  # seconds, on a busy machine
END_OURS = """select pg_terminate_backend(pid) from pg_stat_activity
               where pid <> pg_backend_pid() and application_name like 'threadmill%'"""
HEARTBEAT = 'threadmill_postgres_errors_total{call="heartbeat"}'


@pytest.fixture
async def authority(tmp_path: Path) -> Path:
    return await make_certificate(tmp_path / "tls")


@pytest.fixture
async def unverified(tmp_path: Path, authority: Path) -> AsyncIterator[str]:
    """The address of a server with TLS, for who does not care whose certificate it has."""
    directory = tmp_path / "postgres"
    server = await embedded.start_postgres(
        directory, ports.pick(), "secret", settings=embedded.THROWAWAY, binaries=PROGRAMS
    )
    try:
        _give(directory, authority)
        await execute(server.url, "alter system set ssl = on")
        await execute(server.url, "select pg_reload_conf()")
        url = f"{server.url}?sslmode=require"
        await until("it speaks TLS", lambda: _speaks(url))
        yield url
    finally:
        await children.end(server.process, server.command)


def _give(directory: Path, authority: Path) -> None:
    """The certificate and its key, to whom the directory belongs."""
    owner = directory.stat()
    for source, name in ((authority, "server.crt"), (authority.with_name("key.pem"), "server.key")):
        shutil.copy(source, directory / name)
        os.chown(directory / name, owner.st_uid, owner.st_gid)
        (directory / name).chmod(0o600)


async def _speaks(url: str) -> bool:
    try:
        connection = await connect(url)
    except ConnectionError:
        return False
    await migrate(connection)
    await connection.close()
    return True


@pytest.fixture
async def strangers(tmp_path: Path) -> Path:
    """A certificate that has nothing to do with the server's."""
    return await make_certificate(tmp_path / "strangers")


@pytest.mark.long
@pytest.mark.parametrize("what", ["another", "none"])
async def test_who_runs_stays_up_while_the_certificate_can_not_be_verified(
    unverified: str, redis_url: str, authority: Path, strangers: Path, what: str
) -> None:
    url = unverified.replace("sslmode=require", f"sslmode=verify-full&sslrootcert={authority}")
    good = authority.with_name("good.pem")
    async with trial(url, redis_url, Size(apis=1, workers=1, threads=1), straight=unverified) as run:
        first = _request(run, 1)
        await run.load.sender.settle(first)
        assert first.acknowledged
        await asyncio.to_thread(authority.rename, good)
        if what == "another":
            await asyncio.to_thread(shutil.copy, strangers, authority)
        before = [await run.stack.figure(member, HEARTBEAT) for member in run.stack.members]
        await execute(unverified, END_OURS)
        for member, errors in zip(run.stack.members, before, strict=True):
            await until(f"{member.name} met it", partial(_met, run, member, errors), BACK)
        with pytest.raises(AWAY) as caught:
            await connect(url)
        assert is_state(caught.value), "no batch is to blame"
        await _is_refused(run)
        assert [member.name for member in run.stack.members if not await run.stack.is_alive(member)] == []
        await asyncio.to_thread(good.rename, authority)
        await run.stack.ready(within=BACK)
        second = _request(run, 2)
        await run.load.sender.settle(second)
        assert second.acknowledged
        assert await run.violations() == []


def _request(run: Trial, n: int) -> Request:
    request = Request(run.load.threads[0], f"m{n}-1", ({"type": "user_message", "text": f"say m{n}-1"},), f"key m{n}")
    run.load.history.append(request)
    return request


async def _met(run: Trial, member: Member, before: float) -> bool:
    """More than once: a try to connect ended nothing."""
    return await run.stack.figure(member, HEARTBEAT) >= before + 3


async def _is_refused(run: Trial) -> None:
    """Reads and writes: 503, and when to come again."""
    (api,), thread, headers = run.stack.apis, run.load.threads[0], run.load.sender.headers("key of none")
    body = {"events": [{"type": "user_message", "text": "say nothing"}]}
    for method, path in (("POST", f"/threads/{thread}/events"), ("GET", f"/threads/{thread}")):
        address = f"{api.url}/api/v1{path}"
        async with run.stack.session.request(
            method, address, json=body if method == "POST" else None, headers=headers
        ) as answer:
            assert (answer.status, "Retry-After" in answer.headers) == (503, True), await answer.text()
    async with run.stack.session.get(f"{api.url}/readyz") as answer:
        assert answer.status == 503
