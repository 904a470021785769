"""The example server, started as its page says: a conversation with it, with its token and a permission."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runners.conftest import NOON
from worker.runners import (
    Checkpoint,
    Context,
    Decision,
    Message,
    Output,
    PermissionRequest,
    RunnerError,
    TextDelta,
    ToolCompleted,
    ToolStarted,
    Verdict,
    registry,
)
from worker.runners.conformance import RULES, Rule, check_rule
from worker.runners.registry import Surroundings

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
TOKEN = "example-token-0123"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, "-u", str(EXAMPLES / "agui_server.py"), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "EXAMPLE_AGUI_TOKEN": TOKEN},
    )
    assert server.stdout is not None
    with server:
        try:
            found = re.search(r"Running on (\S+)", server.stdout.readline())
            assert found, "it did not start"
            yield f"{found[1]}/"
        finally:
            server.terminate()


def config(url: str) -> dict[str, Any]:
    example: dict[str, Any] = yaml.safe_load((EXAMPLES / "agui.yaml").read_text(encoding="utf-8"))
    return example | {"url": url}


async def told(url: str, ctx: Context, token: str = TOKEN) -> list[Output]:
    surroundings = Surroundings(private_endpoints=True, environment={"EXAMPLE_AGUI_TOKEN": token})
    return [output async for output in registry.open_runner("agui", config(url), surroundings)(ctx)]


def said(found: list[Output]) -> str:
    return "".join(output.text for output in found if isinstance(output, TextDelta)).strip()


async def test_it_says_again_what_it_is_told(url: str, ctx: Context) -> None:
    assert said(await told(url, ctx)) == "Hello?"


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict.ALLOWED, "The letter is sent."),
        (Verdict.REJECTED, "The letter was not sent."),
        (Verdict.EXPIRED, "The letter was not sent."),
    ],
)
async def test_it_asks_before_it_sends(url: str, ctx: Context, verdict: Verdict, text: str) -> None:
    ctx = replace(ctx, messages=[Message("M", "user", "Please send it.", NOON)])
    started, checkpoint, request = await told(url, ctx)
    assert started == ToolStarted("RUN-call", "send_letter", {"to": "the editor"})
    assert isinstance(checkpoint, Checkpoint)
    assert isinstance(request, PermissionRequest)
    assert (request.title, request.tool) == ("Send the letter?", "send_letter")
    found = await told(url, replace(ctx, state=checkpoint.state, decisions={request.id: Decision(verdict)}))
    assert found[0] == ToolCompleted("RUN-call", text)
    assert said(found) == text


async def test_it_wants_its_token(url: str, ctx: Context) -> None:
    with pytest.raises(RunnerError) as raised:
        await told(url, ctx, token="another-token-0123")
    assert raised.value.code == "runner.unauthorized"


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("text", ["Hello", "Please send it."])
def test_with_it_the_runner_keeps_every_rule(url: str, rule: Rule, text: str) -> None:
    surroundings = Surroundings(private_endpoints=True, environment={"EXAMPLE_AGUI_TOKEN": TOKEN})
    found = check_rule(rule, registry.open_runner("agui", config(url), surroundings), text=text)
    assert found.ok, found.why
