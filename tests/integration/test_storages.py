"""Storages keep a file whole or not at all: a directory and a bucket, the same tests for both."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared import ids
from shared.errors import StorageAway
from shared.files.directory import Directory
from shared.files.opening import StorageUnusable, open_storage
from shared.files.storage import Storage
from shared.ids import FileId
from shared.settings import Settings
from tests.object_store import CREDENTIALS, make_bucket, running_store
from tests.service import running_service, upload
from worker.filekeeping import Filekeeping

BUCKET = "threadmill"


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    with running_store() as url:
        make_bucket(url, BUCKET)
        yield url


@pytest.fixture(params=["directory", pytest.param("bucket", marks=pytest.mark.slow)])  # moto takes seconds to start
async def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Storage]:
    place = str(tmp_path / "files")
    if request.param == "bucket":
        place = in_bucket(request.getfixturevalue("store"), tmp_path, monkeypatch)
    opened = open_storage(place)
    yield opened
    await opened.close()


def in_bucket(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place of this test's own in the bucket."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": store}.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


def new() -> FileId:
    return FileId(ids.mint())


async def put(storage: Storage, data: bytes, piece: int = 1 << 20) -> FileId:
    file = new()
    async with storage.write(file) as sink:
        for start in range(0, len(data), piece):
            await sink.write(data[start : start + piece])
    assert (sink.size, sink.sha256) == (len(data), hashlib.sha256(data).digest())
    return file


async def get(storage: Storage, file: FileId, start: int = 0, stop: int | None = None) -> bytes:
    async with storage.read(file, start, stop) as pieces:
        return b"".join([piece async for piece in pieces])


async def break_off(storage: Storage, file: FileId) -> None:
    async with storage.write(file) as sink:
        await sink.write(bytes(6 << 20))
        raise RuntimeError("half-way")


@pytest.mark.parametrize("size", [0, 1, 12 << 20])  # the last one takes three parts of a bucket
async def test_what_was_written_is_read(storage: Storage, size: int) -> None:
    data = os.urandom(size)
    file = await put(storage, data)
    assert await get(storage, file) == data


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (3, 7), (9, 10), (4, None)])
async def test_a_part_of_a_file_is_read_from_where_it_begins(storage: Storage, start: int, stop: int | None) -> None:
    file = await put(storage, b"0123456789")
    assert await get(storage, file, start, stop) == b"0123456789"[start:stop]


async def test_a_write_that_fails_leaves_nothing(storage: Storage) -> None:
    file = new()
    with pytest.raises(RuntimeError, match="half-way"):
        await break_off(storage, file)
    with pytest.raises(FileNotFoundError):
        await get(storage, file)
    assert await storage.tidy(-60) == 0


async def test_nothing_is_there_before_the_write_has_ended(storage: Storage) -> None:
    file = new()
    async with storage.write(file) as sink:
        await sink.write(bytes(6 << 20))
        with pytest.raises(FileNotFoundError):
            await get(storage, file)
    assert len(await get(storage, file)) == 6 << 20


async def test_a_file_may_be_removed_twice(storage: Storage) -> None:
    file = await put(storage, b"gone")
    await storage.remove(file)
    await storage.remove(file)
    with pytest.raises(FileNotFoundError):
        await get(storage, file)


async def test_what_a_lost_process_left_half_done_is_tidied_after_a_while(storage: Storage) -> None:
    lost = storage.write(new())
    sink = await lost.__aenter__()
    await sink.write(bytes(6 << 20))
    if isinstance(storage, Directory):  # moto says of every upload that it began in 2010
        assert await storage.tidy(3600) == 0
    assert await storage.tidy(-60) == 1
    assert await storage.tidy(-60) == 0
    with pytest.raises(StorageAway):  # it is not what it was any more
        await lost.__aexit__(None, None, None)


async def test_a_directory_without_rights_is_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory", encoding="utf-8")
    storage = open_storage(str(tmp_path / "file"))
    with pytest.raises(StorageAway):
        async with storage.write(new()):
            pass
    await storage.close()


@pytest.mark.slow
async def test_a_bucket_that_does_not_answer_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    storage = open_storage(f"s3://{BUCKET}")
    with pytest.raises(StorageAway):
        await storage.remove(new())
    await storage.close()


def test_a_bucket_without_its_client_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shared.files.s3", None)
    with pytest.raises(StorageUnusable, match=r"threadmill\[s3\]"):
        open_storage("s3://bucket")


@pytest.mark.slow
async def test_a_service_with_a_bucket_keeps_gives_and_removes_files(
    store: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = in_bucket(store, tmp_path, monkeypatch)
    data = os.urandom(12 << 20)
    async with running_service(settings.model_copy(update={"files": place}), worker=False) as service:
        client = await service.client("acme")
        file = FileId((await upload(client, data)).json["file"]["id"])
        path = f"/files/{file}/content"
        assert (await client.call("GET", path)).body == data
        assert (await client.call("GET", path, Range="bytes=6000000-7999999")).body == data[6_000_000:8_000_000]
        assert (await client.call("DELETE", f"/files/{file}")).status == 200
    sweep = Filekeeping(settings, open_storage(place))
    assert await sweep.run_once() == 1
    with pytest.raises(FileNotFoundError):
        await get(sweep.storage, file)
    await sweep.close()
