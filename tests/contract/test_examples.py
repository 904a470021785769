"""Every example of the reference page, pasted into a shell: it works, and its answer is what the document says."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.dialects import shell
from api.dialects.operations import Dialect, Operation
from api.reference.files import DIALECTS
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_client import Cortex
from tests.contract.openai_client import call
from tests.described import check
from tests.rows import attach
from tests.service import upload

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

# What is added to the answer, without another word in the example: its status and type on a last line.
CURLRC = 'write-out = "\\n%{http_code} %{content_type}"\nmax-time = 20\n'
BUSY = ("/cancel", "/submit_tool_outputs", "patch")  # want a run that is not over


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


async def idle(stage: Stage) -> dict[str, str]:
    """A thread whose run is over."""
    await stage.become("worker.runners.demo:echo")
    thread, run = await stage.start()
    await stage.until(thread, run)
    return {"THREAD": thread, "RUN": run}


async def busy(stage: Stage, operation: Operation) -> dict[str, str]:
    """A thread whose run asks for a permission; for an edit, with another run behind it."""
    await stage.become("worker.runners.demo:approve")
    thread, run = await stage.start()
    await stage.until(thread, run, "waiting_input")
    (request,) = (await stage.requests(thread)).values()
    if operation.method == "patch":
        run = await stage.say(thread, "later")
    return {"THREAD": thread, "RUN": run, "CALL": request}


async def variables(stage: Stage, dialect: Dialect, operation: Operation) -> dict[str, str]:
    if dialect.name == "cortex":
        return {"THREAD": str(await Cortex(stage.client).new(origin_application="my_app"))}
    wanted = any(word in f"{operation.method} {operation.path}" for word in BUSY)
    found = await busy(stage, operation) if wanted else await idle(stage)
    if "{fileId}" in operation.path:
        found["FILE"] = await filed(stage, found["THREAD"] if "{threadId}" in operation.path else None)
    messages = await call(stage.client, "GET", f"/v1/threads/{found['THREAD']}/messages")
    return found | {"MESSAGE": messages.json["data"][0]["id"]}


async def filed(stage: Stage, thread: str | None) -> str:
    """A file, of this thread or a draft."""
    file: str = (await upload(stage.client)).json["file"]["id"]
    if thread is not None:
        await attach(stage.service.pool, thread, file)
    return file


async def paste(text: str, given: dict[str, str], home: Path) -> tuple[int, str, str]:
    """Status, type and body of the answer to a `curl`."""
    (home / ".curlrc").write_text(CURLRC, encoding="utf-8")
    (home / "notes.txt").write_text("what is uploaded", encoding="utf-8")
    names = {"PATH": os.environ["PATH"], "HOME": str(home), "CURL_HOME": str(home)}
    child = await asyncio.create_subprocess_exec(
        *("bash", "-euc", text),
        cwd=home,
        env=names | given,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, wrong = await child.communicate()
    assert child.returncode == 0, wrong
    body, _, last = said.decode().rpartition("\n")
    status, media = last.split(" ", 1)
    return int(status), re.sub(r"; charset=utf-8$", "", media), body


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
async def test_every_example_works_and_is_answered_as_described(stage: Stage, dialect: Dialect, tmp_path: Path) -> None:
    shared = {"URL": stage.service.url, "TOKEN": stage.client.token, "AGENT": stage.client.agent}
    for operation in dialect.operations:
        given = shared | await variables(stage, dialect, operation)
        status, media, body = await paste(shell.curl(dialect, operation), given, tmp_path)
        assert str(status) == operation.status, (operation, body)
        check(dialect, operation, status, media, body)
