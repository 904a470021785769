"""What the tests from outside share: the command line, in this process and in one of its own."""

import asyncio
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy import cli
from shared.settings import Settings
from tests.e2e import users
from tests.e2e.command_line import Ended, Make, Threadmill
from tests.e2e.dev_process import DevProcess, Start
from tests.e2e.users import User
from tests.rows import Owner, add_owner


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "THREADMILL_REDIS_PREFIX": settings.redis_prefix,
        "COLUMNS": "200",
        "TERM": "dumb",
    }


@pytest.fixture
def threadmill(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Threadmill:
    """Runs one command line with nobody at its terminal: the whole program, but for its process."""

    async def run(*arguments: str, stdin: str = "", **variables: str) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
            for name, value in {**environment, **variables}.items():
                patched.setenv(name, value)
            patched.setattr(sys, "stdin", io.StringIO(stdin))
            code = await asyncio.to_thread(cli.run, list(arguments))
        return Ended(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def threadmill_process(environment: dict[str, str]) -> Threadmill:
    """The same in a process of its own."""

    async def run(*arguments: str, stdin: str = "") -> Ended:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from deploy.cli import main; main()", *arguments),
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        return Ended(process.returncode or 0, out.decode(), err.decode())

    return run


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


@pytest.fixture
def make(threadmill: Threadmill, owner: Owner) -> Make:
    """An agent with a function of its own."""

    async def make(name: str, function: str, *options: str) -> None:
        config = json.dumps({"function": function})
        ended = await threadmill("agent", "create", name, "--runner", "python", "--config", config, *options)
        assert ended.code == 0, ended.err

    return make


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[DevProcess]:
    """A `threadmill dev` of this test's own, in its directory."""
    me = User("me", tmp_path)
    dev = DevProcess(me.home, ".data", "--port", "0", "--json", become=me.become)
    yield dev
    dev.clean_up()


@pytest.fixture(params=users.names())
def user(request: pytest.FixtureRequest) -> Iterator[User]:
    with tempfile.TemporaryDirectory(prefix="threadmill-dev-") as directory:
        yield users.user(request.param, Path(directory))


@pytest.fixture
def me(tmp_path: Path) -> User:
    return User("me", tmp_path)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a `dev` as a user; whatever a failed test leaves is killed."""
    started: list[DevProcess] = []

    def start(user: User, *options: str, data: str = "data", **values: Any) -> DevProcess:
        process = DevProcess(user.home, data, *options, become=user.become, **values)
        started.append(process)
        return process

    yield start
    for process in started:
        process.clean_up()
