"""Runs over files: a stage whose runners run inline or in a process of their own, and what is left of its files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.agents import Stage
from tests.rows import attach
from tests.service import upload


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
