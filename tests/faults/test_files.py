"""A process that is gone between two steps of an upload or a delete: no file is lost, doubled or without an owner."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from shared.crashpoints import CRASHED
from shared.files.directory import Directory
from shared.settings import Settings
from tests.faults.processes import Access, Member, Stack
from worker.filekeeping import Filekeeping

pytestmark = pytest.mark.slow

UPLOADING = ("file.after_begin", "file.before_rename", "file.after_bytes", "file.after_ready")
DELETING = ("file.after_row_gone", "file.after_bytes_gone")
DATA = os.urandom(300_000)


@dataclass(slots=True)
class Scene:
    stack: Stack
    root: Path
    access: Access
    db: asyncpg.Connection
    sweep: Filekeeping

    async def upload(self, member: Member) -> str | None:
        """The file's id; None where there was no answer."""
        form = aiohttp.FormData()
        form.add_field("file", DATA, filename="a.bin")
        return await self._id(member, "POST", f"/agents/{self.access.agent}/files", form)

    async def delete(self, member: Member, file: str) -> None:
        await self._id(member, "DELETE", f"/files/{file}")

    async def content(self, member: Member, file: str) -> bytes:
        url = f"{member.url}/api/v1/files/{file}/content"
        async with self.stack.session.get(url, headers=self._headers) as response:
            return await response.read() if response.status == 200 else b""

    async def _id(self, member: Member, method: str, path: str, data: aiohttp.FormData | None = None) -> str | None:
        url = f"{member.url}/api/v1{path}"
        try:
            async with self.stack.session.request(method, url, data=data, headers=self._headers) as response:
                document = await response.json()
                assert response.status < 300, document
                return str(document["file"]["id"]) if "file" in document else None
        except aiohttp.ClientError:
            return None

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access.token}"}

    async def pass_time(self) -> None:
        """A day goes by, and all that is due is done."""
        await self.db.execute("update files set expires_at = now() - interval '1 second'")
        await self.sweep.run_once()
        await self.db.execute("update file_removals set next_try_at = now()")  # what a lost worker had claimed
        await self.sweep.run_once()
        await self.sweep.storage.tidy(-60)

    async def nothing_is_left(self) -> bool:
        left = "select (select count(*) from files) + (select count(*) from file_removals)"
        room = "select coalesce(sum(files + bytes), 0) from file_usage"
        stored = [path for path in self.root.rglob("*") if path.is_file()]
        return await self.db.fetchval(left) == 0 and await self.db.fetchval(room) == 0 and not stored


@asynccontextmanager
async def scene(stack: Stack, root: Path) -> AsyncIterator[Scene]:
    db = await stack.database()
    settings = Settings(DATABASE_URL=stack.database_url, REDIS_URL=stack.redis_url)  # type: ignore[call-arg]  # by alias
    sweep = Filekeeping(settings, Directory(root))
    try:
        yield Scene(stack, root, await stack.access(), db, sweep)
    finally:
        await sweep.close()
        await db.close()


@pytest.mark.parametrize("point", UPLOADING)
async def test_an_upload_whose_api_was_killed_is_whole_or_leaves_nothing(
    stack: Stack, tmp_path: Path, point: str
) -> None:
    healthy, broken = (stack.api(files=str(tmp_path), testing=testing) for testing in ("", f"crash:{point}"))
    await stack.ready(healthy, broken)
    async with scene(stack, tmp_path) as s:
        assert await s.upload(broken) is None
        assert await broken.died() == CRASHED
        ready = await s.db.fetch("select id from files where ready")
        assert len(ready) == (point == "file.after_ready")
        for row in ready:
            assert await s.content(healthy, row["id"]) == DATA
        again = await s.upload(healthy)
        assert again is not None
        assert await s.content(healthy, again) == DATA
        await s.pass_time()
        assert await s.nothing_is_left()


async def test_a_delete_whose_api_was_killed_is_done_and_the_bytes_follow(stack: Stack, tmp_path: Path) -> None:
    healthy = stack.api(files=str(tmp_path))
    broken = stack.api(files=str(tmp_path), testing="crash:file.after_row_gone")
    await stack.ready(healthy, broken)
    async with scene(stack, tmp_path) as s:
        file = await s.upload(healthy)
        assert file is not None
        await s.delete(broken, file)
        assert await broken.died() == CRASHED
        assert await s.content(healthy, file) == b""
        await s.sweep.run_once()
        assert await s.nothing_is_left()


async def test_a_sweep_that_was_killed_behind_the_bytes_is_done_again(stack: Stack, tmp_path: Path) -> None:
    healthy = stack.api(files=str(tmp_path))
    await stack.ready(healthy)
    async with scene(stack, tmp_path) as s:
        file, stays = await s.upload(healthy), await s.upload(healthy)
        assert file is not None
        assert stays is not None
        await s.delete(healthy, file)
        broken = stack.worker(files=str(tmp_path), testing="crash:file.after_bytes_gone")
        assert await broken.died() == CRASHED
        assert await s.db.fetchval("select count(*) from file_removals") == 1
        assert await s.content(healthy, stays) == DATA
        await s.pass_time()
        assert await s.nothing_is_left()
