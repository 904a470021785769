"""The first steps of the Cortex section in docs/dialects.md: exactly its commands, against a `dev` of their own."""

import json
import re
from pathlib import Path

import pytest

from tests.contract.cortex_client import frames, texts
from tests.e2e.dev_process import DevProcess
from tests.e2e.pasted import commands, pasted

PAGE = (Path(__file__).parents[2] / "docs" / "dialects.md").read_text(encoding="utf-8")
STEPS = PAGE.split("### A thread and its answers")[1].split("\n### ")[0]


@pytest.mark.slow
def test_the_first_steps_happen_as_the_page_says(dev: DevProcess, tmp_path: Path) -> None:
    dev.ready()
    wanted = commands(STEPS)
    assert len(wanted) == 10
    said = pasted(wanted, tmp_path)
    shown = re.findall(r"^    event: (.*)$", STEPS, re.MULTILINE)
    heard = frames(said[4])
    assert list(dict.fromkeys(name for name, _ in heard)) == list(dict.fromkeys(shown))
    assert texts(heard[-1][1]) == ["Hello there"]
    assert texts(json.loads(said[5])) == ["I would like to answer. May I?"]
    assert texts(json.loads(said[8])) == ["Water the plants"]
    page = json.loads(said[9])
    assert page["metadata"]["origin_application"] == "my_app"
    assert [message["role"] for message in page["messages"]] == ["assistant", "user"]
