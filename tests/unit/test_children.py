"""Children end when they are told to, when they do not want to, and what they said last is found."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import children
from deploy.children import Command
from deploy.supervisor import Supervisor

SLEEPER = Command("sleeper", ("sleep", "60"), seconds=5.0)
DEAF = Command("deaf", ("sh", "-c", "trap '' TERM; echo ready >\"$0\"; exec sleep 60"), seconds=0.1)


async def test_a_child_ends_when_it_is_asked_to() -> None:
    process = children.spawn(SLEEPER)
    await children.end(process, SLEEPER)
    assert process.returncode == -signal.SIGTERM


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    process = children.spawn(replace(DEAF, argv=(*DEAF.argv, str(tmp_path / "ready"))))
    assert await asyncio.to_thread((tmp_path / "ready").read_text) == "ready\n"
    await children.end(process, DEAF)
    assert process.returncode == -signal.SIGKILL


async def test_ending_one_that_is_gone_does_nothing() -> None:
    command = Command("brief", ("true",))
    process = children.spawn(command)
    assert await children.exited(process, 5.0)
    await children.end(process, command)
    assert process.returncode == 0


async def test_waiting_for_one_that_stays_has_a_bound() -> None:
    process = children.spawn(SLEEPER)
    assert not await children.exited(process, 0.01)
    await children.end(process, SLEEPER)


async def test_a_child_reads_what_it_was_given_and_writes_to_its_log(tmp_path: Path) -> None:
    command = Command("cat", ("cat",), stdin=b"one\n\ntwo\n", log=tmp_path / "log")
    assert await children.exited(children.spawn(command), 5.0)
    assert (tmp_path / "log").read_bytes() == b"one\n\ntwo\n"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        ("FATAL: no disk\nHINT: buy one\n", "FATAL: no disk"),
        ("an Error\nx\n", "an Error"),
    ],
)
def test_last_words_are_the_error_where_there_is_one(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "log").write_text(log)
    assert children.last_words(Command("any", ("true",), log=tmp_path / "log")) == words


async def test_a_child_that_dies_is_started_again_after_a_longer_pause_each_time() -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    supervisor = Supervisor(said.put_nowait)
    supervisor.start(Command("brief", ("false",)))
    watching = asyncio.create_task(supervisor.watch())
    lines = [await asyncio.wait_for(said.get(), 5) for _ in range(2)]
    watching.cancel()
    await supervisor.stop()
    assert [line.rpartition(" ended ")[2] for line in lines] == ["with 1; again in 0.5 s", "with 1; again in 1.0 s"]
