"""The table of hostile requests on every route of every dialect that takes JSON: each gets its 4xx in its dialect's
envelope, over a real socket, and nothing is stored. What only one dialect refuses is in its own `test_*_hostile.py`.
"""

import asyncio
import json
import re
from typing import Any

import pytest

from tests import hostile
from tests.agents import Stage
from tests.contract.foreign import furnish
from tests.contract.storing import stored
from tests.hostile import Hostile

pytestmark = [pytest.mark.slow, pytest.mark.dialect, pytest.mark.timeout(120)]

MOSOO, CORTEX = {"code", "message"}, {"message", "code", "error_code", "request_id"}
OPENAI = {"message", "type", "param", "code"}


def code_of(dialect: str, error: Any) -> str:
    """In its own envelope. What breaks HTTP itself is told in the native one: nobody knows then whom it was for."""
    if dialect == "cortex" and set(error) == CORTEX:
        assert error["code"].startswith("399")
        return str(error["error_code"])
    assert set(error) == {"error"}
    assert set(error["error"]) in ([OPENAI, MOSOO] if dialect == "openai" else [MOSOO])
    return str(error["error"]["code"])


def breaks_http(row: Hostile) -> bool:
    """Whether its head can't be read."""
    return row.status == 400 and row.code == "invalid_request" and bool(row.head[1:])


@pytest.mark.parametrize("dialect", ["mosoo", "cortex", "openai"])
async def test_every_hostile_request_gets_its_refusal_and_stores_nothing(stage: Stage, dialect: str) -> None:
    world = await furnish(stage, stage.client, "hello")
    before, sent = await stored(stage.service), 0
    for target in (one for one in hostile.targets() if one.dialect == dialect):
        path = re.sub(r"{(\w+)}", lambda found: world.names.get(found[1], "any"), target.path)
        for name, row in target.rows().items():
            data = hostile.request(row, world.client.token, path, target.method)
            status, body = await asyncio.to_thread(hostile.exchange, stage.service.url, data)
            assert (target.path, name, status) == (target.path, name, row.status), body
            error = json.loads(body)
            assert code_of(dialect, error) == row.code or (dialect, name) == ("cortex", "no body"), (target.path, name)
            assert set(error) != {"error"} or dialect != "cortex" or breaks_http(row), (target.path, name, error)
            assert world.client.token not in str(error)
            sent += 1
    assert sent > 100
    assert await stored(stage.service) == before
