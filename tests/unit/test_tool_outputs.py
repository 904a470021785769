"""How many tool outputs one request takes: as many as a body holds, and one more is told by its name."""

import json
from pathlib import Path

import pytest

from api.body import decode
from api.dialects.openai.decode import outputs
from api.dialects.openai.models import OUTPUT_LIMIT
from shared import ids
from shared.errors import InvalidRequest

DIALECTS = Path(__file__).parents[2] / "docs" / "dialects.md"


def body(count: int) -> bytes:
    given = [{"tool_call_id": ids.mint(), "output": "deny"} for _ in range(count)]
    return json.dumps({"tool_outputs": given, "stream": True}).encode()


def test_one_request_takes_as_many_tool_outputs_as_a_body_holds() -> None:
    assert len(outputs(decode(body(OUTPUT_LIMIT))).decisions) == OUTPUT_LIMIT
    with pytest.raises(InvalidRequest, match="more values than any request has"):
        decode(body(OUTPUT_LIMIT + 1))
    assert f"{OUTPUT_LIMIT:,} at most" in DIALECTS.read_text(encoding="utf-8")


def test_one_more_is_refused_by_its_name() -> None:
    given = [{"tool_call_id": ids.mint(), "output": "deny"} for _ in range(OUTPUT_LIMIT + 1)]
    with pytest.raises(InvalidRequest, match="tool_outputs") as refused:
        outputs({"tool_outputs": given})
    assert refused.value.param == "tool_outputs"
