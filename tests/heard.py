"""An api whose every question to Postgres is heard: the statements it sends for a request, with their arguments."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp
import asyncpg
from aiohttp import web

from api.app import build_app
from api.follow import Hub
from api.gate import Gate
from api.handlers.health import Health
from api.inbox import Inbox
from api.postgres import Postgres
from api.server import Runner
from shared.db.connect import open_pool
from shared.db.statements import statements
from shared.files.keeping import Keeping
from shared.files.opening import open_storage
from shared.files.pace import Pace
from shared.redis_state import RedisState
from shared.settings import Settings
from tests.service import Client, Service

NOUNS = ("reads", "messages", "runs", "answers", "numbers", "inbox", "stream")
NAMES = {text: (noun, name) for noun in NOUNS for name, text in statements(noun).items()}


class Asked(NamedTuple):
    """One statement of ours, by the file and the name that it has in shared/db/sql."""

    noun: str
    name: str
    arguments: tuple[Any, ...]


@dataclass(slots=True)
class Heard:
    service: Service
    _asked: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def hear(self, record: Any) -> None:
        self._asked.append((record.query, tuple(record.args)))

    async def get(self, client: Client, path: str) -> tuple[Any, list[Asked]]:
        """The answer to a request, and all that was asked for it: of the caller, too, whose token is kept otherwise."""
        self._asked.clear()
        headers = {"Authorization": f"Bearer {client.token}"}
        async with client.session.get(f"{client.url}{path}", headers=headers) as response:
            assert response.status == 200, (path, await response.text())
            answer = await response.json()
        return answer, [Asked(*NAMES[text], arguments) for text, arguments in self._asked]


def shown(answer: Any) -> list[Any]:
    """The ids that an answer shows, whatever its dialect."""
    if isinstance(answer, dict):
        lists = [answer[name] for name in ("data", "messages", "runs", "threads", "events") if name in answer]
        answer = lists[0] if lists else [answer.get("run", answer)]
    return [entry.get("message_id", entry.get("id", entry.get("thread_id"))) for entry in answer]


@asynccontextmanager
async def heard_api(settings: Settings) -> AsyncIterator[Heard]:
    """The api as it is, without a worker; one connection serves its reads, and is listened to."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.database_url, 1)
        stack.callback(pool.terminate)
        inbox, hub = Inbox(settings, pool), Hub(settings)
        redis = RedisState(settings)
        stack.push_async_callback(redis.close)
        await inbox.start()
        stack.push_async_callback(inbox.close)
        await hub.start()
        stack.push_async_callback(hub.close)
        postgres = Postgres(pool)
        gate = Gate(settings, postgres)
        await gate.start()
        stack.push_async_callback(gate.close)
        storage = open_storage(settings.files)
        stack.push_async_callback(storage.close)
        keeping = Keeping(settings, postgres, storage, Pace(settings.file_rate))
        app = build_app(settings, inbox, hub, gate, postgres, Health(pool, redis), keeping)
        runner = Runner(app, shutdown_timeout=2)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        heard = Heard(Service(settings, url, pool, session))
        await _listen(pool, heard)
        yield heard


async def _listen(pool: asyncpg.Pool, heard: Heard) -> None:
    async with pool.acquire() as connection:
        for text in NAMES:  # from now on it knows their types, and has nothing else to ask
            await connection.prepare(text)
        connection.add_query_logger(heard.hear)
