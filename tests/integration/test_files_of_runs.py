"""What runners read of their thread's files: the same inline and in a process of their own."""

import hashlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.rows import attach
from tests.service import upload
from tests.watch import until


@dataclass(slots=True)
class Desk:
    """A stage whose runners run as `isolation` says."""

    stage: Stage
    isolation: str
    root: Path

    async def become(self, function: str, **more: str) -> None:
        config = {"function": f"tests.file_runners:{function}", "isolation": self.isolation, **more}
        await self.stage.become(function, config=json.dumps(config))

    async def add(self, thread: str | None, data: bytes, name: str = "notes.txt", type_: str = "text/plain") -> str:
        """A file, of this thread if there is one."""
        reply = await upload(self.stage.client, data, name, type_)
        assert reply.status == 201, reply
        file: str = reply.json["file"]["id"]
        if thread is not None:
            await attach(self.stage.service.pool, thread, file)
        return file

    async def told(self, thread: str, run: str) -> dict[str, Any]:
        """What a run's custom outputs say, by their names."""
        await self.stage.until(thread, run, "completed")
        events = [e for e in await self.stage.events(thread) if (e["type"], e["runId"]) == ("agent.custom", run)]
        return {event["toolName"]: json.loads(event["content"]) for event in events}

    async def listed(self, thread: str) -> list[dict[str, Any]]:
        reply = await self.stage.client.call("GET", f"/threads/{thread}/files")
        files: list[dict[str, Any]] = reply.json["files"]
        return files

    async def content(self, file: str) -> bytes:
        return (await self.stage.client.call("GET", f"/files/{file}/content")).body

    async def nothing_is_left(self) -> bool:
        """No row, no byte, nothing that counts."""
        await self.stage.service.pool.execute(
            "update files set expires_at = now() - interval '1 second' where not ready"
        )
        await self.stage.service.crews[0].files.run_once()  # type: ignore[union-attr]  # it has started
        rows = await self.stage.service.pool.fetchval("select count(*) from files")
        used = await self.stage.service.pool.fetchval("select coalesce(sum(files + bytes), 0) from file_usage")
        return not rows and not used and not [path for path in self.root.rglob("*") if path.is_file()]

    async def ask(self, thread: str, text: str = "go on") -> dict[str, Any]:
        return await self.told(thread, await self.stage.say(thread, text))

    async def refused(self, thread: str, text: str) -> tuple[str, bool]:
        """Code of a run's error, and whether trying again may help."""
        error = (await self.stage.until(thread, await self.stage.say(thread, text), "failed"))["error"]
        return error["code"], error["retryable"]


@pytest.fixture(params=["inline", pytest.param("process", marks=pytest.mark.slow)])
async def desk(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with running_stage(settings) as stage:
        yield Desk(stage, request.param, Path(settings.files))


@pytest.fixture(params=["inline", pytest.param("process", marks=pytest.mark.slow)])
async def tight(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Files of at most 1,000 bytes."""
    async with running_stage(settings.model_copy(update={"file_limit": 1_000})) as stage:
        yield Desk(stage, request.param, Path(settings.files))


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
    archive = crew.executor._archive  # type: ignore[union-attr]
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


async def test_a_file_that_was_removed_before_it_was_told_of_fails_its_run(desk: Desk) -> None:
    await desk.become("makes_one")
    pool = desk.stage.service.pool
    await pool.execute(  # an operator who is that quick
        "create function remove() returns trigger language plpgsql as $$ begin delete from files where id = new.id;"
        " return null; end $$"
    )
    await pool.execute(
        "create trigger quick after update on files for each row when (not new.ready) execute function remove()"
    )
    thread, run = await desk.stage.start()
    failed = await desk.stage.until(thread, run, "failed")
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("runner.file_gone", True)
    assert not [event for event in await desk.stage.events(thread) if event["type"] == "file.changed"]


async def test_a_run_without_files_asks_nothing_of_them(settings: Settings) -> None:
    async with running_stage(settings) as stage:
        thread, run = await stage.start("hello")
        await stage.until(thread, run, "completed")
        archive = stage.service.crews[0].executor._archive  # type: ignore[union-attr]
        assert archive is not None
        assert archive.cabinet.pool.get_size() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("dies", "runner.crashed"),
        ("ends", "runner.invalid_output"),
        ("garbage", "runner.invalid_output"),
        ("outside", "runner.invalid_output"),
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


@pytest.mark.slow
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
