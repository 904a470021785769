"""Agents whose runs are executed: a service with a worker for all of it, and what a test looks at."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from shared import ids
from shared.settings import Settings
from tests.pipeline import PARTITIONS
from tests.service import Client, Service, message, running_service
from tests.watch import until

TERMINAL = {"completed", "failed", "cancelled", "expired"}


@dataclass(slots=True)
class Stage:
    """A client whose agent is what the test says."""

    service: Service
    client: Client

    async def become(self, function: str, **columns: Any) -> None:
        """From now on the agent runs `function` (of `tests.odd_runners`, or `module:function`)."""
        named = function if ":" in function else f"tests.odd_runners:{function}"
        fields = {"runner": "python", "config": json.dumps({"function": named}), **columns}
        names = ", ".join(f"{name} = ${n}" for n, name in enumerate(fields, 2))
        await self.service.pool.execute(
            f"update agents set {names}, updated_at = clock_timestamp() where id = $1",  # noqa: S608 - the names are written in this file
            self.client.agent,
            *fields.values(),
        )

    async def start(self, text: str = "hello") -> tuple[str, str]:
        """A thread with its first run, under way."""
        reply = await self.client.create(text)
        assert reply.status == 201, reply
        return reply.json["thread"]["id"], reply.json["run"]["id"]

    async def send(self, thread: str, *events: dict[str, Any]) -> dict[str, Any]:
        reply = await self.client.send(thread, *events)
        assert reply.status == 200, reply
        document: dict[str, Any] = reply.json
        return document

    async def say(self, thread: str, text: str, **fields: Any) -> str:
        """The id of the run that a further message is for."""
        return str((await self.send(thread, message(text, **fields)))["events"][0]["run"]["id"])

    async def run(self, thread: str, run: str) -> dict[str, Any]:
        reply = await self.client.call("GET", f"/threads/{thread}/runs/{run}")
        assert reply.status == 200, reply
        found: dict[str, Any] = reply.json
        return found

    async def until(self, thread: str, run: str, *statuses: str, timeout: float = 15) -> dict[str, Any]:
        """The run once it has one of these statuses; without any, once it is over."""
        wanted = set(statuses) or TERMINAL

        async def there() -> dict[str, Any] | None:
            found = await self.run(thread, run)
            assert found["status"] in wanted or found["status"] not in TERMINAL, found
            return found if found["status"] in wanted else None

        return await until(there, timeout)

    async def events(self, thread: str) -> list[dict[str, Any]]:
        reply = await self.client.call("GET", f"/threads/{thread}/events?limit=1000")
        assert reply.status == 200, reply
        found: list[dict[str, Any]] = reply.json["events"]
        return found

    async def text(self, run: str) -> str:
        """All that a run said, as the log has it."""
        rows = await self.service.pool.fetch(
            "select content from thread_events where run = $1 and type = 'agent.message.delta' order by id", run
        )
        return "".join(row["content"] for row in rows)

    async def said(self, run: str, text: str) -> None:
        """Waits until the log of a run has this text."""

        async def there() -> bool:
            return text in await self.text(run)

        await until(there)

    async def requests(self, thread: str) -> dict[str, str]:
        """The ids of the permission requests of a thread, by their titles."""
        rows = await self.service.pool.fetch("select id, title from permission_requests where thread = $1", thread)
        return {row["title"]: row["id"] for row in rows}

    async def decide(self, thread: str, request: str, decision: str = "allow_once", **fields: Any) -> dict[str, Any]:
        return await self.send(
            thread, {"type": "permission_decision", "requestId": request, "decision": decision, **fields}
        )

    async def interrupt(self, thread: str, **fields: Any) -> dict[str, Any]:
        return await self.send(thread, {"type": "user_interrupt", **fields})

    async def leases(self) -> int:
        found: int = await self.service.pool.fetchval("select count(*) from leases")
        return found

    async def attempt(self, run: str) -> int:
        found: int = await self.service.pool.fetchval("select attempt from runs where id = $1", run)
        return found

    async def lose(self, run: str) -> None:
        """The run's lease runs out, and somebody takes it again; whoever drives it does not know yet."""
        db, past = self.service.pool, "expires_at = clock_timestamp() - interval '1 second'"
        epoch = await db.fetchval("select epoch from leases where run = $1", run)

        async def taken_again() -> bool:
            if await db.fetchval("select max(epoch) > $2 from leases where run = $1", run, epoch):
                return True
            # again and again: a heartbeat may come in between
            await db.execute(f"update leases set {past} where epoch = $1", epoch)  # noqa: S608 - the names are written in this file
            return False

        await until(taken_again)

    async def lose_leases(self) -> None:
        """As if the workers that have them had been silent for long."""
        await self.service.pool.execute("update leases set expires_at = clock_timestamp() - interval '1 second'")


def partition(thread: str) -> int:
    return ids.partition_of(thread, PARTITIONS)


@asynccontextmanager
async def running_stage(settings: Settings, function: str = "worker.runners.demo:echo") -> AsyncIterator[Stage]:
    async with running_service(settings, roles="all") as service:
        stage = Stage(service, await service.client("acme"))
        await stage.become(function)
        yield stage
