"""Files as clients of several processes bring them, and what is left of them when their time is over."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from shared.files.directory import Directory
from shared.settings import Settings
from tests.faults.processes import Access, Member, Stack
from worker.filekeeping import Filekeeping

DATA = os.urandom(300_000)


@dataclass(slots=True)
class Filing:
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

    async def create(self, member: Member, file: str, key: str = "once") -> tuple[int, dict[str, Any]] | None:
        """A thread that begins with a file, by a request that may be repeated; None where there was no answer."""
        text = {"type": "user.message", "content": [{"type": "text", "text": "Read this."}]}
        url = f"{member.url}/api/v1/agents/{self.access.agent}/threads"
        body, headers = {"input": text, "files": [{"file_id": file}]}, self._headers | {"Idempotency-Key": key}
        try:
            async with self.stack.session.post(url, json=body, headers=headers) as response:
                return response.status, await response.json()
        except aiohttp.ClientError:
            return None

    async def of_thread(self, member: Member, thread: str) -> list[tuple[str, bool]]:
        """The files of a thread, and whether their batches are applied."""
        url = f"{member.url}/api/v1/threads/{thread}/files"
        async with self.stack.session.get(url, headers=self._headers) as response:
            return [(file["id"], file["committed"]) for file in (await response.json())["files"]]

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
        past = "now() - interval '1 second'"
        await self.db.execute(f"update files set expires_at = {past} where expires_at is not null")  # noqa: S608 - written here
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
async def filing(stack: Stack, root: Path) -> AsyncIterator[Filing]:
    db = await stack.database()
    settings = Settings(DATABASE_URL=stack.database_url, REDIS_URL=stack.redis_url)  # type: ignore[call-arg]  # by alias
    sweep = Filekeeping(settings, Directory(root))
    try:
        yield Filing(stack, root, await stack.access(), db, sweep)
    finally:
        await sweep.close()
        await db.close()
