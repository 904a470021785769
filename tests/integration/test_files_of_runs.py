"""What runners read of their thread's files: the same inline and in a process of their own."""

import hashlib
import os
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.agents import running_stage
from tests.desk import Desk


async def test_a_runner_knows_the_files_of_its_thread_and_of_its_messages(desk: Desk) -> None:
    await desk.become("lists")
    thread, other = await desk.stage.client.new_thread(), await desk.stage.client.new_thread()
    file, gone, later = [await desk.add(None, b"hello", name) for name in ("a.txt", "b.txt", "c.txt")]
    await desk.add(None, b"a draft")
    await desk.add(other, b"of another thread")
    first = await desk.stage.say(thread, "look", attachmentIds=[gone, file])
    await desk.stage.until(thread, first, "completed")
    assert (await desk.stage.client.call("DELETE", f"/files/{gone}")).status == 200
    told = await desk.told(thread, await desk.stage.say(thread, "and here", attachmentIds=[later]))
    assert told["files"] == [
        [file, "a.txt", 5, "text/plain", "attachment"],
        [later, "c.txt", 5, "text/plain", "attachment"],
    ]
    assert told["messages"] == [["look", [gone, file]], ["and here", [later]]]
    assert told["attached"] == ["a.txt", "c.txt"]


async def test_a_message_that_is_steered_brings_its_files(desk: Desk) -> None:
    await desk.become("takes")
    thread, run = await desk.stage.start()
    await desk.stage.said(run, "I wait.")
    file = await desk.add(None, b"hello")
    said = {"type": "user_message", "text": "here", "on_busy": "steer", "attachmentIds": [file]}
    await desk.stage.send(thread, said)
    done = await desk.stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "I wait.here: hello"}


async def test_a_file_comes_to_a_runner_in_pieces_and_whole(desk: Desk) -> None:
    await desk.become("reads")
    thread = await desk.stage.client.new_thread()
    files = {"empty": b"", "odd": os.urandom(1_234_567), "even": os.urandom(1 << 20)}
    for name, data in files.items():
        await desk.add(thread, data, name)
    told = await desk.ask(thread)
    assert told == {name: [hashlib.sha256(data).hexdigest(), True] for name, data in files.items()}


async def test_more_than_a_page_of_files_is_gone_through(desk: Desk) -> None:
    await desk.become("lists")
    thread = await desk.stage.client.new_thread()
    file = await desk.add(thread, b"hello")
    await desk.stage.service.pool.execute(
        "insert into files (id, account, agent, token, kind, ready, name, mime_type, size, sha256, partition, thread)"
        " select gen_random_uuid(), account, agent, token, kind, ready, 'b', mime_type, 5, sha256, partition, thread"
        " from files, generate_series(1, 250) where id = $1",
        file,
    )
    told = await desk.ask(thread)
    assert len({row[0] for row in told["files"]}) == 251


async def test_a_runner_reads_parts_of_a_file_and_refuses_what_is_too_large(desk: Desk) -> None:
    await desk.become("reads_parts")
    thread = await desk.stage.client.new_thread()
    await desk.add(thread, b"x" * 1_000 + b"end")
    assert await desk.ask(thread) == {"parts": ["end", True, 0], "refused": "runner.file_too_large"}


async def test_a_runner_reaches_no_file_but_its_own_thread_s(desk: Desk) -> None:
    await desk.become("reads_named")
    thread, other = await desk.stage.client.new_thread(), await desk.stage.client.new_thread()
    for name in (await desk.add(other, b"secret"), await desk.add(None, b"draft"), "../../etc/passwd"):
        assert await desk.refused(thread, name) == ("runner.file_gone", False)
    mine = await desk.add(thread, b"mine")
    run = await desk.stage.say(thread, mine.lower())
    assert (await desk.stage.until(thread, run, "completed"))["finalOutput"] == {"text": "mine"}


async def test_a_file_that_is_deleted_while_it_is_read_about_is_gone(desk: Desk) -> None:
    await desk.become("reads_late")
    thread = await desk.stage.client.new_thread()
    file = await desk.add(thread, b"hello")
    run = await desk.stage.say(thread, "go")
    await desk.stage.said(run, "heard of it")
    assert (await desk.stage.client.call("DELETE", f"/files/{file}")).status == 200
    await desk.stage.send(thread, {"type": "user_message", "text": "now", "on_busy": "steer"})
    assert (await desk.stage.until(thread, run, "failed"))["error"]["code"] == "runner.file_gone"


async def test_a_file_of_which_the_storage_has_lost_some_is_never_read_as_whole(desk: Desk) -> None:
    await desk.become("reads")
    thread = await desk.stage.client.new_thread()
    file = await desk.add(thread, b"hello, world")
    (path,) = desk.root.rglob(file)
    path.write_bytes(b"hello")
    run = await desk.stage.say(thread, "go on")
    assert (await desk.stage.until(thread, run, "failed"))["error"]["code"] == "runner.file_gone"


async def test_a_storage_that_is_away_fails_a_run_that_may_be_tried_again(desk: Desk) -> None:
    await desk.become("reads_named")
    thread = await desk.stage.client.new_thread()
    file = await desk.add(thread, b"hello")
    place = desk.root / file[-2:]
    place.rename(desk.root / "aside")
    place.write_text("no directory")
    assert await desk.refused(thread, file) == ("runner.files_away", True)
    place.unlink()
    (desk.root / "aside").rename(place)
    run = await desk.stage.say(thread, file)
    assert (await desk.stage.until(thread, run, "completed"))["finalOutput"] == {"text": "hello"}


async def test_a_run_without_files_asks_nothing_of_them(settings: Settings) -> None:
    async with running_stage(settings) as stage:
        thread, run = await stage.start("hello")
        await stage.until(thread, run, "completed")
        archive = stage.service.crews[0].executor._archive  # type: ignore[union-attr]  # it has started
        assert archive is not None
        assert archive.cabinet.pool.get_size() == 0


@pytest.mark.slow
@pytest.mark.long
async def test_a_child_that_stops_reading_holds_nobody_up(settings: Settings) -> None:
    async with running_stage(settings) as stage:
        desk = Desk(stage, "process", Path(settings.files))
        await desk.become("stops_reading")
        thread = await stage.client.new_thread()
        await desk.add(thread, os.urandom(4 << 20))
        run = await stage.say(thread, "go")
        await stage.said(run, "I wait for")
        await stage.become("worker.runners.demo:echo")
        other, its = await stage.start("beside it")
        await stage.until(other, its, "completed", timeout=5)
        await stage.interrupt(thread)
        await stage.until(thread, await stage.say(thread, "next"), "completed", timeout=10)
