"""`threadmill dev` as its user meets it: by root and by an ordinary user, from the first start to the last child."""

import asyncio
import os
import re
import signal
import stat
import subprocess
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from deploy import devfile
from tests.e2e import users
from tests.e2e.dev_process import Start
from tests.e2e.users import User


async def test_the_first_start_says_everything_in_one_line_and_sigterm_ends_it(user: User, start: Start) -> None:
    dev = start(user, "--port", "0", "--json")
    told = dev.ready()

    assert set(told) == {"url", "token", "admin_token", "agents", "database_url", "redis_url", "pids"}
    assert told["token"].startswith("mst_")
    assert len(told["token"]) == len(told["admin_token"]) == 47
    assert set(told["agents"]) == {"echo", "approve"}
    assert [len(told["pids"][name]) for name in ("api", "worker")] == [1, 1]
    await _check_servers(told)
    assert await _created_thread(told)

    assert dev.stop(signal.SIGTERM) == 0
    assert dev.rest() == b""
    dev.until_nothing_is_left(within=1)
    path = user.home / "data" / "dev.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = devfile.read(path.parent)
    assert kept is not None
    assert all(getattr(kept, name) == value for name, value in told.items() if name != "pids")


@pytest.mark.slow
@pytest.mark.long
async def test_a_second_start_keeps_the_data_and_every_value(me: User, start: Start) -> None:
    first = start(me, "--port", "0", "--json")
    told = first.ready()
    thread = await _created_thread(told)
    assert first.stop(signal.SIGINT) == 0

    again = start(me, "--port", "0", "--json").ready()

    assert {**again, "pids": None} == {**told, "pids": None}
    assert (await _call(again, "GET", thread))["thread"]["title"] == "Hello"


@pytest.mark.slow
def test_kill_9_leaves_nothing_after_five_seconds(user: User, start: Start) -> None:
    dev = start(user, "--port", "0", "--json")
    pids = dev.ready()["pids"]
    assert {process.pid for process in dev.left()} >= {*pids["api"], *pids["worker"], pids["postgres"], pids["redis"]}

    assert dev.stop(signal.SIGKILL) == -signal.SIGKILL

    dev.until_nothing_is_left(within=5)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_first_start_ends_it_in_order(me: User, start: Start, how: signal.Signals) -> None:
    dev = start(me, "--port", "0", "--json")
    dev.until_said("starting Postgres")

    assert dev.stop(how) == 0

    assert dev.rest() == b""
    dev.until_nothing_is_left(within=1)


@pytest.mark.slow
@pytest.mark.long
def test_a_start_that_was_killed_half_way_is_completed_by_the_next(me: User, start: Start) -> None:
    dev = start(me, "--port", "0", "--json")
    dev.until_said("starting Postgres")
    dev.stop(signal.SIGKILL)
    dev.until_nothing_is_left(within=5)

    assert start(me, "--port", "0", "--json").ready()["agents"]


def test_the_printed_commands_work_as_pasted(me: User, start: Start) -> None:
    dev = start(me, "--port", "0")
    page = dev.read_until('$URL$THREAD/events -H "Authorization: Bearer $TOKEN"; echo')
    commands = page.partition("holds then.\n")[2]

    shown = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], capture_output=True, check=True, timeout=30)

    assert b'{"links":{"thread":' in shown.stderr  # `tee` shows the thread
    said = shown.stdout.decode()
    assert said.count(": connected\n") == 2
    assert '"acceptedAt":' in said
    assert said.count('"type":"run.completed"') == 2 + 3  # in the second stream the first run's, too; and the history
    assert '"content":"And what then?"' in said.splitlines()[-1]
    ((console, admin),) = re.findall(r"^  console   (\S+), the operator's; log in with (\S+)$", page, re.MULTILINE)
    assert console.endswith("/console")
    assert admin.startswith("mst_")
    (queue,) = re.findall(r"^  queue     (.+)$", page, re.MULTILINE)
    bare = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }  # no environment is activated there
    status = subprocess.run(["bash", "-c", queue], capture_output=True, check=True, cwd=me.home, timeout=30, env=bare)
    assert b"dead letters" in status.stdout
    (reference,) = re.findall(r"^  reference (\S+)$", page, re.MULTILINE)
    assert b"<!doctype html>" in subprocess.run(["curl", "-sS", reference], capture_output=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.long
async def test_several_apis_and_workers_share_one_url(me: User, start: Start) -> None:
    told = start(me, "--port", "0", "--json", "--apis", "2", "--workers", "2").ready()

    assert [len(set(told["pids"][name])) for name in ("api", "worker")] == [2, 2]
    for _ in range(8):  # the kernel deals them out to both
        assert await _created_thread(told)


@pytest.mark.slow
@pytest.mark.long
async def test_a_child_that_died_is_started_again_and_that_is_said(me: User, start: Start) -> None:
    dev = start(me, "--port", "0", "--json")
    told = dev.ready()
    for name in ("api", "redis"):
        pid = told["pids"][name][0] if name == "api" else told["pids"][name]
        os.kill(pid, signal.SIGKILL)
        dev.until_said(f"{name} (pid {pid}) ended with -9")

    assert await _created_thread(told)
    assert dev.stop() == 0
    dev.until_nothing_is_left(within=1)


@pytest.mark.slow
@pytest.mark.long
async def test_servers_that_are_given_are_used_and_left_alone(
    me: User, start: Start, database_url: str, redis_url: str
) -> None:
    dev = start(me, "--port", "0", "--json", env={"DATABASE_URL": database_url, "REDIS_URL": redis_url})
    told = dev.ready()
    assert (told["database_url"], told["redis_url"]) == (database_url, redis_url)
    assert (told["pids"]["postgres"], told["pids"]["redis"]) == (None, None)
    assert not (me.home / "data" / "postgres").exists()
    assert await _created_thread(told)
    assert dev.stop() == 0
    await _check_servers(told)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("owner", [users.ORDINARY if users.AS_ROOT else os.geteuid()])  # only root can give files away
def test_a_cluster_is_run_as_its_owner(me: User, start: Start, owner: int) -> None:
    first = start(me, "--port", "0", "--json")
    told = first.ready()
    assert first.stop() == 0
    for path in ((cluster := me.home / "data" / "postgres"), *cluster.rglob("*")):
        os.chown(path, owner, -1)

    again = start(me, "--port", "0", "--json").ready()

    assert again["token"] == told["token"]
    assert psutil.Process(again["pids"]["postgres"]).uids().real == owner


async def _created_thread(told: dict[str, Any]) -> str:
    """The path of a new thread of the agent `echo`, made with the token that was told."""
    body = {"input": {"type": "user.message", "content": [{"type": "text", "text": "Hello"}]}}
    answer = await _call(told, "POST", f"/api/v1/agents/{told['agents']['echo']}/threads", body)
    path: str = answer["links"]["thread"]
    return path


async def _call(told: dict[str, Any], method: str, path: str, body: object = None) -> dict[str, Any]:
    """A request, sent again while an api that died is not back yet."""
    headers = {"Authorization": f"Bearer {told['token']}"}
    async with asyncio.timeout(20), aiohttp.ClientSession(headers=headers) as session:
        while True:
            try:
                async with session.request(method, told["url"] + path, json=body) as answer:
                    assert answer.status in {200, 201}, await answer.text()
                    document: dict[str, Any] = await answer.json()
                    return document
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)  # a refused connection gives no signal when it will not be


async def _check_servers(told: dict[str, Any]) -> None:
    """Both URLs lead to a server, the database to one that keeps its commits."""
    connection = await asyncpg.connect(told["database_url"])
    assert await connection.fetchval("show synchronous_commit") == "on"
    await connection.close()
    client = Redis.from_url(told["redis_url"])
    assert await client.ping()
    await client.aclose()
