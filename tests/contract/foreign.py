"""Accounts with all that an account can have, by the names of the parameters of paths, and some more."""

from dataclasses import dataclass

from shared import agents, ids
from tests.agents import Stage
from tests.contract.openai_client import call
from tests.service import Client, Service, said, upload
from tests.watch import until

Names = dict[str, str]
_ASKS = {"function": "worker.runners.demo:approve"}
_ULIDS = ("agentId", "threadId", "runId", "messageId", "fileId", "draft", "event", "asking", "askingRun", "request")


@dataclass(frozen=True, slots=True)
class World:
    """An account, with a thread whose run is over, one whose run asks, and a file that nothing has taken."""

    client: Client
    text: str  # stands in everything that can hold text
    names: Names

    def secrets(self) -> list[str]:
        """What may be in no answer to somebody else, unless he named it."""
        return [self.text, self.client.token, *self.ulids()]

    def ulids(self) -> list[str]:
        return [str(self.client.account), *(self.names[name] for name in _ULIDS)]


def nobody(beside: World | None = None) -> Names:
    """Ids that nothing has; those that are a place in a list are next to an account's."""
    ulids = {name: str(ids.mint()) for name in _ULIDS}
    if beside is not None:
        ulids |= {name: _next(beside.names[name]) for name in ("event", "fileId", "messageId", "runId")}
    numbers = {"id": str(2**52), "askingNumber": str(2**52 + 1), "number": "1"}
    return ulids | numbers | {"name": f"nobody-{ids.mint()}"}


def _next(ulid: str) -> str:
    return ulid[:-1] + ("0" if ulid[-1] != "0" else "1")


async def furnish(stage: Stage, client: Client, text: str) -> World:
    """All of it new. The account's agents are its `echo`, and one that asks, of a name of its own."""
    db = stage.service.pool
    asks = await agents.create_agent(db, client.account, f"asks-{ids.mint()}", "python", config=_ASKS, published=True)
    file, draft = [(await upload(client, text.encode(), f"{text}.txt")).json["file"]["id"] for _ in range(2)]
    body = {"input": said(text), "client_external_ref": text, "userId": text, "files": [{"file_id": file}]}
    made = (await client.call("POST", f"/agents/{client.agent}/threads", body)).json
    thread, run = made["thread"]["id"], made["run"]["id"]
    await Stage(stage.service, client).until(thread, run)
    waits = (await client.call("POST", f"/agents/{asks.id}/threads", {"input": said(text)})).json
    request = await until(lambda: _request(stage.service, waits["thread"]["id"]), 15)
    events = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    messages = (await call(client, "GET", f"/v1/threads/{thread}/messages")).json["data"]
    number = await db.fetchval("select max(num) from messages where thread = $1", thread)
    await call(client, "GET", "/api/v2/cortex/threads")  # gives each thread its number
    names = {"agentId": str(client.agent), "name": asks.name, "fileId": file, "draft": draft}
    names |= {"threadId": thread, "id": await _number(stage.service, thread), "runId": run}
    names |= {"messageId": messages[0]["id"], "number": str(number), "event": events[0]["id"]}
    names |= {"asking": waits["thread"]["id"], "askingRun": waits["run"]["id"], "request": request}
    return World(client, text, names | {"askingNumber": await _number(stage.service, names["asking"])})


async def _request(service: Service, thread: str) -> str | None:
    query = "select id from permission_requests where thread = $1 and state = 'pending'"
    found: str | None = await service.pool.fetchval(query, thread)
    return found


async def _number(service: Service, thread: str) -> str:
    return str(await service.pool.fetchval("select num from thread_numbers where thread = $1", thread))
