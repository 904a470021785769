"""What becomes of files that runners yield: the same inline and in a process of their own."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.agents import running_stage
from tests.desk import Desk
from tests.watch import until


async def test_a_runner_makes_files_of_every_kind_of_content(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "there.bin").write_bytes(whole := os.urandom(300_000))
    await desk.become("makes", directory=str(tmp_path))
    thread, run = await desk.stage.start()
    told = await desk.told(thread, run)
    names = ["text.md", "bytes.dat", "path.bin", "pieces"]
    types = ["text/markdown", "application/x-own", "application/octet-stream", "application/octet-stream"]
    data = ["# Grüße".encode(), b"\0\1", whole, b"0" * 100_000 + b"1" * 100_000 + b"2" * 100_000]
    assert told["files"] == [
        [name, len(held), type_, "artifact"] for name, held, type_ in zip(names, data, types, strict=True)
    ]
    listed = await desk.listed(thread)
    assert [(file["name"], file["kind"], file["committed"]) for file in listed] == [
        (name, "artifact", True) for name in names
    ]
    assert [await desk.content(file["id"]) for file in listed] == data


async def test_the_log_says_which_files_a_run_made(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "there.bin").write_bytes(b"there")
    await desk.become("makes", directory=str(tmp_path))
    thread, run = await desk.stage.start()
    await desk.stage.until(thread, run, "completed")
    listed = await desk.listed(thread)
    events = [event for event in await desk.stage.events(thread) if "file" in event["type"]]
    changed = [json.loads(event["content"]) for event in events if event["type"] == "file.changed"]
    wanted = ("id", "name", "size", "mimeType", "kind")
    assert [{key: told["file"][key] for key in wanted} for told in changed] == [
        {key: file[key] for key in wanted} for file in listed
    ]
    assert changed[2]["change"] == "created"
    assert changed[2]["file"]["sha256"] == hashlib.sha256(b"there").hexdigest()
    updated = [json.loads(event["content"])["fileIds"] for event in events if event["type"] == "session_files.updated"]
    assert [name for names in updated for name in names] == [file["id"] for file in listed]
    assert {(event["runId"], event["status"]) for event in events} == {(run, "available")}


async def test_a_runner_reads_one_file_while_it_makes_another(desk: Desk) -> None:
    await desk.become("copies")
    thread = await desk.stage.client.new_thread()
    await desk.add(thread, data := os.urandom(1_500_000))
    await desk.ask(thread)
    (made,) = [file for file in await desk.listed(thread) if file["kind"] == "artifact"]
    assert (made["name"], await desk.content(made["id"])) == ("upper notes.txt", data.upper())


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("breaks", ("printer.empty", True)),
        ("texts", ("runner.invalid_output", False)),
        ("path", ("runner.invalid_output", False)),
        ("content", ("runner.invalid_output", False)),
        ("large", ("runner.file_too_large", False)),
        ("large pieces", ("runner.file_too_large", False)),
    ],
)
async def test_a_file_that_can_not_be_kept_fails_its_run_and_leaves_nothing(
    tight: Desk, how: str, error: tuple[str, bool]
) -> None:
    await tight.become("makes_badly")
    thread = await tight.stage.client.new_thread()
    assert await tight.refused(thread, how) == error
    assert await tight.nothing_is_left()


async def test_a_storage_that_is_away_keeps_no_file_and_the_run_may_be_tried_again(desk: Desk) -> None:
    await desk.become("makes_one")
    thread = await desk.stage.client.new_thread()
    desk.root.mkdir(exist_ok=True)
    (desk.root / "partial").write_text("no directory")
    assert await desk.refused(thread, "go") == ("runner.files_away", True)
    (desk.root / "partial").unlink()
    assert await desk.nothing_is_left()


async def test_a_quota_that_is_used_up_is_the_run_s_error(desk: Desk) -> None:
    await desk.become("copies")
    thread = await desk.stage.client.new_thread()
    await desk.add(thread, b"hello")
    crew = desk.stage.service.crews[0]
    archive = crew.executor._archive  # type: ignore[union-attr]  # it has started
    narrow = archive.cabinet.settings.model_copy(update={"file_quota": 1_000})  # type: ignore[union-attr]  # it has one
    archive.cabinet = replace(archive.cabinet, settings=narrow)  # type: ignore[union-attr]  # as above
    assert await desk.refused(thread, "go") == ("runner.file_quota", False)


@pytest.mark.slow  # its lease has to run out
async def test_what_a_lost_attempt_made_is_not_made_again(desk: Desk) -> None:
    await desk.become("makes_once_in_two_attempts")
    thread, run = await desk.stage.start()
    await desk.stage.said(run, "first made")
    await desk.stage.lose(run)
    await desk.stage.until(thread, run, "completed")
    listed = await desk.listed(thread)
    assert [file["name"] for file in listed] == ["same.txt", "other.txt"]
    assert await desk.content(listed[1]["id"]) == b"of attempt 2"
    changed = [event for event in await desk.stage.events(thread) if event["type"] == "file.changed"]
    assert len(changed) == 2
    for file in listed:
        assert (await desk.stage.client.call("DELETE", f"/files/{file['id']}")).status == 200
    assert await desk.nothing_is_left()


@pytest.mark.parametrize("end", ["interrupt", "delete"])
async def test_a_file_that_was_not_whole_when_its_run_was_ended_leaves_nothing(desk: Desk, end: str) -> None:
    await desk.become("makes_without_end")
    thread, run = await desk.stage.start()
    await desk.stage.said(run, "I make it.")
    if end == "interrupt":
        await desk.stage.interrupt(thread)
    else:
        assert (await desk.stage.client.call("DELETE", f"/threads/{thread}")).status == 200
    await until(desk.nothing_is_left)


@pytest.mark.parametrize("when", ["insert", "update"], ids=["before its bytes came", "behind them"])
async def test_a_file_that_was_removed_before_it_was_told_of_fails_its_run(desk: Desk, when: str) -> None:
    await desk.become("makes_one")
    pool = desk.stage.service.pool
    await pool.execute(  # an operator who is that quick
        "create function remove() returns trigger language plpgsql as $$ begin delete from files where id = new.id;"
        " return null; end $$"
    )
    await pool.execute(
        f"create trigger quick after {when} on files for each row when (not new.ready) execute function remove()"
    )
    thread, run = await desk.stage.start()
    failed = await desk.stage.until(thread, run, "failed")
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("runner.file_gone", True)
    assert not [event for event in await desk.stage.events(thread) if event["type"] == "file.changed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("dies", "runner.crashed"),
        pytest.param("ends", "runner.invalid_output", marks=pytest.mark.long),
        pytest.param("garbage", "runner.invalid_output", marks=pytest.mark.long),
        pytest.param("outside", "runner.invalid_output", marks=pytest.mark.long),
    ],
)
async def test_a_child_that_breaks_off_in_a_file_fails_its_run_and_leaves_nothing(
    settings: Settings, how: str, code: str
) -> None:
    async with running_stage(settings) as stage:
        desk = Desk(stage, "process", Path(settings.files))
        await desk.become("breaks_off")
        thread = await stage.client.new_thread()
        assert (await desk.refused(thread, how))[0] == code
        await until(desk.nothing_is_left)
