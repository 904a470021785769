"""Requests made up from the documents, right ones and wrong ones: no answer is a 5xx, and each is as described."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from yarl import URL

from api.dialects import openapi
from api.dialects.operations import Dialect, Operation
from api.reference.files import DIALECTS
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_client import Cortex
from tests.contract.openai_client import call
from tests.described import check
from tests.requests_from import bent, values
from tests.service import Client, upload
from tests.variants import one_of

pytestmark = [pytest.mark.slow, pytest.mark.dialect, pytest.mark.timeout(300)]

EXAMPLES = 120  # of one dialect: half a minute
GARBAGE = st.one_of(
    st.just(""), st.sampled_from(["0", "-1", "99999999999999999999", "null", "%00", "é", "a b"]), st.text(max_size=30)
)


WRONG = ("nothing", "nothing", "nothing", "path", "query", "header", "body")
CURSORS = {"after", "before", "run_id", "Last-Event-ID", "last_message_id"}  # of which made up ones are wrong


@dataclass(frozen=True, slots=True)
class Made:
    """A request; None in a path stands for something that exists."""

    operation: Operation
    path: dict[str, str | None]
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    right: bool


@st.composite
def requests(draw: st.DrawFn, dialect: Dialect, document: dict[str, Any]) -> Made:
    """A right one, or one of which one part is wrong or made up."""
    operation = draw(st.sampled_from([one for one in dialect.operations if one.token]))
    described = document["paths"][operation.path][operation.method]
    schemas, wrong = document["components"]["schemas"], draw(st.sampled_from(WRONG))
    given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in [one for one in described["parameters"] if "$ref" not in one]:
        name, place = parameter["name"], parameter["in"]
        known = values(parameter["schema"], schemas).map(_spelt)
        if place == wrong:
            given[place][name] = draw(known | GARBAGE)
        elif place == "path":
            given[place][name] = None
        elif name not in CURSORS and draw(st.booleans()):
            given[place][name] = draw(known)
    headers = {name: value for name, value in given["header"].items() if value.isprintable() and value.isascii()}
    body = None
    if operation.body is not None:
        value = draw(values(described["requestBody"]["content"]["application/json"]["schema"], schemas))
        body = draw(bent(value)) if wrong == "body" else value
    return Made(operation, given["path"], given["query"], headers, body, wrong == "nothing")


@cache
def document_of(name: str) -> dict[str, Any]:
    """Made once: it takes longer than a request."""
    (dialect,) = (dialect for dialect in DIALECTS.values() if dialect.name == name)
    return openapi.document(dialect)


def _spelt(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


async def names(stage: Stage, dialect: Dialect) -> dict[str, str]:
    """Things that exist, by the parameters of paths."""
    if dialect.name == "cortex":
        return {"id": str(await Cortex(stage.client).new()), "database": "a", "schema": "b", "name": "echo"}
    thread, run = await stage.start()
    await stage.until(thread, run)
    found = {"agentId": stage.client.agent, "threadId": thread, "runId": run}
    if dialect.name == "mosoo":
        found["fileId"] = (await upload(stage.client)).json["file"]["id"]
    if dialect.name == "openai":
        messages = await call(stage.client, "GET", f"/v1/threads/{thread}/messages")
        found["messageId"] = messages.json["data"][0]["id"]
    return found


def settled(made: Made, known: dict[str, str]) -> Any:
    """The body; what a right one refers to is there."""
    if not (made.right and isinstance(made.body, dict)):
        return made.body
    there = {"assistant_id": known.get("agentId"), "thread_id": known.get("id"), "parent_message_id": 0}
    return {name: there.get(name, value) for name, value in made.body.items()}


async def send(client: Client, dialect: Dialect, made: Made, known: dict[str, str]) -> None:
    given = {name: known[name] if value is None else value for name, value in made.path.items()}
    if any(value in ("", ".", "..") for value in given.values()):
        return  # another path
    path = re.sub(r"{(\w+)}", lambda found: quote(given[found[1]], safe=""), made.operation.path)
    query = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in made.query.items())
    url = URL(f"{client.url}{dialect.root.rstrip('/')}{path}?{query}", encoded=True)
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json", **made.headers}
    body = None if made.operation.body is None else json.dumps(settled(made, known)).encode()
    async with client.session.request(made.operation.method, url, data=body, headers=headers) as response:
        endless = made.operation.path.endswith("/events/stream") and response.status == 200
        text = (await (response.content.readany() if endless else response.read())).decode()
        assert response.status < 500, (made, text)
        if endless:
            assert text.startswith(": connected")
        else:
            check(dialect, made.operation, response.status, response.content_type, text)


@pytest.mark.parametrize("dialect", one_of(*DIALECTS.values()), ids=lambda dialect: dialect.name)
@budget(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,  # the same ones each time: who changes something is told what that breaks
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(data=st.data())
async def test_whatever_is_asked_the_answer_is_as_described(
    stage: Stage, dialect: Dialect, data: st.DataObject
) -> None:
    made = data.draw(requests(dialect, document_of(dialect.name)))
    await send(stage.client, dialect, made, await names(stage, dialect))
