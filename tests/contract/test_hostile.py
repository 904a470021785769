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


def code_of(dialect: str, row: Hostile, document: Any) -> str:
    """The code of a refusal, which is the whole of its dialect's envelope and nothing else."""
    inside = document if dialect == "cortex" else document["error"]
    message, code = inside["message"], inside["code"]
    assert isinstance(message, str), document
    assert message, document
    if dialect == "cortex":
        assert code == f"399{row.status}", document
        assert re.fullmatch(r"[\w-]{8,}", inside["request_id"]), document
        assert set(document) == {"message", "code", "error_code", "request_id"}, document
        return str(inside["error_code"])
    envelope = {"message": message, "code": code}
    if dialect == "openai":
        param = inside["param"]
        assert param is None or (isinstance(param, str) and param), document
        envelope |= {"type": "invalid_request_error", "param": param}
    assert document == {"error": envelope}
    return str(code)


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
            code = code_of(dialect, row, error)
            assert code == row.code or (dialect, name) == ("cortex", "no body"), (target.path, name)
            assert world.client.token not in str(error)
            sent += 1
    assert sent > 100
    assert await stored(stage.service) == before
