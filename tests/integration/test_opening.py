"""Runners being opened: modules that hang or exit when they are imported, and agents that can't be read."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.pipeline import running_crew
from tests.service import running_service
from tests.watch import until
from worker.runners import openers
from worker.runners.openers import Openers

RUNNER = """
from worker.runners import TextDelta

async def run(ctx):
    yield TextDelta("imported")
"""
DEEP = '{"in":' * 1_000 + "1" + "}" * 1_000  # Postgres keeps it, readers give up
MANY = 12  # more than asyncio's own threads on a small machine


@dataclass(slots=True)
class Author:
    """Writes modules that a worker of this process can import."""

    directory: Path

    @property
    def pipe(self) -> Path:
        return self.directory / "pipe"

    def write(self, name: str, text: str) -> str:
        """The function to name in a configuration."""
        (self.directory / f"{name}.py").write_text(text, encoding="utf-8")
        return f"{name}:run"

    def write_hanging(self, name: str) -> str:
        """A module whose import waits until `release`."""
        return self.write(name, f"with open({str(self.pipe)!r}) as pipe:\n    pipe.read()\n{RUNNER}")

    def release(self) -> None:
        os.close(os.open(self.pipe, os.O_RDWR))  # whoever waits to read it finds its end


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Author]:
    monkeypatch.syspath_prepend(tmp_path)
    author = Author(tmp_path)
    os.mkfifo(author.pipe)
    yield author
    author.release()
    for written in tmp_path.glob("*.py"):
        sys.modules.pop(written.stem, None)


async def leased(stage: Stage, number: int) -> None:
    async def look() -> bool:
        return await stage.leases() == number

    await until(look)


async def test_an_import_that_hangs_keeps_no_other_agent_from_opening(stage: Stage, author: Author) -> None:
    await stage.become(author.write_hanging("hanging_for_a_while"))
    hanging = [await stage.start() for _ in range(MANY)]
    await leased(stage, MANY)
    await stage.become("worker.runners.demo:echo")
    await stage.until(*await stage.start(), "completed", timeout=5)
    assert await stage.leases() == MANY
    author.release()
    for run in hanging:
        assert (await stage.until(*run, "completed"))["finalOutput"] == {"text": "imported"}


async def test_an_import_that_takes_too_long_fails_its_runs_and_serves_later_ones(
    stage: Stage, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openers, "TIMEOUT", 0.1)
    await stage.become(author.write_hanging("hanging_too_long"))
    for _ in range(2):
        error = (await stage.until(*await stage.start(), "failed", timeout=3))["error"]
        assert (error["code"], error["retryable"]) == ("runner.unavailable", True)
        assert "did not open within" in error["message"]
    author.release()

    async def completes() -> bool:
        return bool((await stage.until(*await stage.start()))["status"] == "completed")

    await until(completes)


async def test_one_opening_serves_all_runs_of_an_agent() -> None:
    opened = Openers(Settings(warm_children=0))
    config = {"function": "tests.odd_runners:hangs", "isolation": "process"}  # each opening makes another runner
    runners = await asyncio.gather(*(opened.open("agent", "python", config) for _ in range(20)))
    assert len(set(runners)) == 1
    assert await opened.open("agent", "python", config) is runners[0]
    assert await opened.open("another", "python", config) is not runners[0]
    await opened.close()


@pytest.mark.parametrize("leaves", ["raise SystemExit('set MY_KEY')", "raise KeyboardInterrupt", "raise GeneratorExit"])
async def test_a_module_that_leaves_when_it_is_imported_fails_its_run_and_harms_no_other(
    stage: Stage, author: Author, leaves: str
) -> None:
    await stage.become("steered")
    other = await stage.start()
    await stage.said(other[1], "ready")
    await stage.become(author.write("leaving", leaves))
    error = (await stage.until(*await stage.start(), "failed", timeout=3))["error"]
    assert error["code"] == "runner.unavailable"
    assert "it raised " in error["message"]
    await stage.say(other[0], "stop", on_busy="steer")
    await stage.until(*other, "completed")


async def test_a_run_whose_agent_can_not_be_read_fails_alone(settings: Settings) -> None:
    async with running_service(settings) as service:  # nobody executes yet: one take has them all
        stage = Stage(service, await service.client("acme"))
        await stage.become("worker.runners.demo:echo")
        spoilt = Stage(service, await service.client("spoilt"))
        await spoilt.become("worker.runners.demo:echo", config=DEEP)
        started = [(one, await one.start()) for one in (stage, spoilt, stage)]
        async with running_crew(settings, "all"):
            ended = [await one.until(*run, timeout=5) for one, run in started]
    assert [run["status"] for run in ended] == ["completed", "failed", "completed"]
    assert ended[1]["error"]["message"] == "What is stored of the run or its agent can't be read."
    assert ended[1]["error"]["code"] == "runner.unavailable"


async def test_a_run_whose_checkpoint_can_not_be_read_fails_alone(stage: Stage) -> None:
    await stage.become("asks_two")
    thread, run = await stage.start()
    await stage.until(thread, run, "waiting_input")
    await stage.service.pool.execute("update runs set checkpoint = $2 where id = $1", run, DEEP)
    for request in (await stage.requests(thread)).values():
        await stage.decide(thread, request)
    assert (await stage.until(thread, run, "failed", timeout=5))["error"]["code"] == "runner.unavailable"
    await stage.become("worker.runners.demo:echo")
    await stage.until(*await stage.start(), "completed")
