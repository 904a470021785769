"""The service in one process, over HTTP and on real servers: an api on a free port and, where wanted, a crew."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web

from api.app import HEARTBEAT, create_app
from api.server import Runner
from shared import accounts, agents
from shared.db.connect import open_pool
from shared.ids import AccountId, AgentId, TokenId
from shared.models import BusyPolicy, TokenKind
from shared.settings import Settings
from tests.pipeline import running_crew
from worker.crew import Crew

FORM = {"Content_Type": "multipart/form-data; boundary=b"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. `json` is its body, read."""

    status: int
    body: bytes
    headers: dict[str, str] = field(hash=False)  # by lower-case name

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, code and message of a refusal."""
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"code", "message"}
        return self.status, self.json["error"]["code"], self.json["error"]["message"]


@dataclass(frozen=True, slots=True)
class Client:
    """Someone with a token and an agent."""

    session: aiohttp.ClientSession
    url: str
    account: AccountId
    token_id: TokenId
    token: str
    agent: AgentId

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request under `/api/v1`. `body` is bytes as they are, or a value; headers by name with `_` for `-`."""
        fields = {"Authorization": f"Bearer {self.token}"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
        if data is not None:
            fields.setdefault("Content-Type", "application/json")
        if isinstance(data, bytes) and len(data) >= 1 << 20:
            data = io.BytesIO(data)  # aiohttp warns of more at once
        async with self.session.request(method, f"{self.url}/api/v1{path}", data=data, headers=fields) as response:
            names = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, await response.read(), names)

    async def create(self, text: str | None = "hello", **headers: str) -> Reply:
        body = {} if text is None else {"input": said(text)}
        return await self.call("POST", f"/agents/{self.agent}/threads", body, **headers)

    async def new_thread(self, text: str | None = None) -> str:
        """The id of a new thread; without a text it is idle."""
        reply = await self.create(text)
        assert reply.status == 201, reply
        return str(reply.json["thread"]["id"])

    async def send(self, thread: str, *events: dict[str, Any], **headers: str) -> Reply:
        return await self.call("POST", f"/threads/{thread}/events", {"events": list(events)}, **headers)

    def using(self, token: str) -> "Client":
        return replace(self, token=token)


@dataclass(slots=True)
class Service:
    settings: Settings
    url: str
    pool: asyncpg.Pool
    session: aiohttp.ClientSession
    crews: list[Crew] = field(default_factory=list)

    async def client(
        self, name: str, busy_policy: BusyPolicy = BusyPolicy.QUEUE, kind: TokenKind = TokenKind.HUMAN_PAT
    ) -> Client:
        """An account of its own, with a token and a published agent."""
        async with self.pool.acquire() as db:
            account = await accounts.create_account(db, name)
            made = await accounts.create_token(db, account.id, kind)
            agent = await agents.create_agent(db, account.id, "echo", "echo", busy_policy=busy_policy, published=True)
        return Client(self.session, self.url, account.id, made.token.id, made.secret.text, agent.id)


async def upload(
    client: Client, data: bytes = b"hello", name: str = "notes.txt", type_: str = "text/plain", **headers: str
) -> Reply:
    """A file, as a browser's form sends it."""
    path = f"/agents/{client.agent}/files"
    return await client.call("POST", path, form_of(data, name, type_), **{**FORM, **headers})


def form_of(data: bytes, name: str = "notes.txt", type_: str = "text/plain") -> bytes:
    """The body of an upload; its header is `FORM`."""
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {type_}\r\n\r\n'
    return head.encode() + data + b"\r\n--b--\r\n"


def said(text: str) -> dict[str, Any]:
    """The `input` of a create."""
    return {"type": "user.message", "content": [{"type": "text", "text": text}]}


def message(text: str = "hello", **fields: Any) -> dict[str, Any]:
    """A user_message of a batch."""
    return {"type": "user_message", "text": text, **fields}


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[str]:
    """Serves on a free port; yields the url."""
    app = await create_app(settings)
    runner = Runner(app, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        app[HEARTBEAT].listen(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running_service(settings: Settings, *, worker: bool = True, roles: str = "apply") -> AsyncIterator[Service]:
    """An api and, unless told otherwise, a worker's crew; with `roles` all it executes runs, too."""
    async with AsyncExitStack() as stack:
        crews: list[Crew] = []
        pool = await open_pool(settings.database_url)
        stack.callback(pool.terminate)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        url = await stack.enter_async_context(running_api(settings))
        if worker:
            crews.append(await stack.enter_async_context(running_crew(settings, roles)))
        yield Service(settings, url, pool, session, crews)
