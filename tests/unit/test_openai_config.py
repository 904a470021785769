"""The configuration of the runner `openai`: what is refused, by which name, and that its page says all of it."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import yaml

from tests.openai_server import serving
from tests.runs import collect, context, state_of, text_of
from worker.outbound import AddressRefused
from worker.runners import Decision, PermissionRequest, ToolCompleted, Verdict
from worker.runners.openai_config import OpenAIConfig, ToolConfig
from worker.runners.openai_errors import FAILURES, FOREIGN, translate
from worker.runners.registry import ConfigError, Surroundings, check, open_runner

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "runners-openai.md").read_text(encoding="utf-8")
EXAMPLE = yaml.safe_load((DOCS / "examples" / "openai.yaml").read_text(encoding="utf-8"))
TOOL = {"name": "t", "function": "m:f"}
SECRET = "sk-proj-Abc123"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "model: "),
        ({"model": ""}, "model: "),
        ({"model": 7}, "model: "),
        ({"model": "m", "modle": "m"}, "modle: "),
        ({"model": "m", "api_key": SECRET}, "api_key: "),
        ({"model": "m", "api_key_env": SECRET}, "api_key_env: "),
        ({"model": "m", "api_key_env": "SKPROJ0123456789ABCDEF"}, "api_key_env: "),
        ({"model": "m", "api_key_env": "AKIAABCDEFGHIJKLMNOP"}, "api_key_env: "),
        ({"model": "m", "api_key_env": "DATABASE_URL"}, "api_key_env: "),
        ({"model": "m", "api_key_env": "THREADMILL_SECRET"}, "api_key_env: "),
        ({"model": "m", "api_key_env": "PGPASSWORD"}, "api_key_env: "),
        ({"model": "m", "base_url": "ftp://example.com"}, "base_url: "),
        ({"model": "m", "base_url": "https://"}, "base_url: "),
        ({"model": "m", "base_url": f"https://me:{SECRET}@example.com"}, "base_url: "),
        ({"model": "m", "base_url": f"https://example.com/v1?key={SECRET}"}, "base_url: "),
        ({"model": "m", "base_url": "https://example.com:port"}, "base_url: "),
        ({"model": "m", "base_url": "https://exa\x00mple.com"}, "base_url: "),
        ({"model": "m", "temperature": 3.0}, "temperature: "),
        ({"model": "m", "temperature": float("nan")}, "temperature: "),
        ({"model": "m", "max_tokens": 0}, "max_tokens: "),
        ({"model": "m", "max_tokens": "many"}, "max_tokens: "),
        ({"model": "m", "parameters": {"stream": False}}, "parameters: "),
        ({"model": "m", "history": 1001}, "history: "),
        ({"model": "m", "timeout": 0.0}, "timeout: "),
        ({"model": "m", "timeout": 601.0}, "timeout: "),
        ({"model": "m", "retries": 6}, "retries: "),
        ({"model": "m", "max_turns": 0}, "max_turns: "),
        ({"model": "m", "tools": TOOL}, "tools: "),
        ({"model": "m", "tools": [TOOL, TOOL]}, "tools: "),
        ({"model": "m", "tools": [{**TOOL, "name": "a b"}]}, "tools.0.name: "),
        ({"model": "m", "tools": [{**TOOL, "function": "f"}]}, "tools.0.function: "),
        ({"model": "m", "tools": [{**TOOL, "ask": "no"}]}, "tools.0.ask: "),
        ({"model": "m", "tools": [{**TOOL, "parameters": {"type": "array"}}]}, "tools.0.parameters: "),
        (
            {"model": "m", "tools": [{**TOOL, "parameters": {"type": "object", "properties": {"key": {}}}}]},
            "tools.0.parameters: ",
        ),
        ({"model": "m", "tools": [{**TOOL, "expires_in": 0}]}, "tools.0.expires_in: "),
        ({"model": "m", "tools": [{**TOOL, "expires_in": 1e10}]}, "tools.0.expires_in: "),
        ({"model": "m", "tools": [{**TOOL, "timeout": -1}]}, "tools.0.timeout: "),
        ({"model": "m", "tools": [{**TOOL, "asks": True}]}, "tools.0.asks: "),
    ],
)
def test_a_wrong_field_is_refused_by_its_name_and_no_secret_is_repeated(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check("openai", config)
    shown = str(caught.value)
    assert field in shown, shown
    assert SECRET not in shown
    assert "\n" not in shown
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "SHOP_KEY_2", "AZURE_OPENAI_API_KEY"])
def test_names_of_variables_are_taken(name: str) -> None:
    check("openai", {"model": "m", "api_key_env": name})


@pytest.mark.parametrize("model", [OpenAIConfig, ToolConfig])
def test_every_field_stands_on_the_page_with_its_default(model: type[OpenAIConfig] | type[ToolConfig]) -> None:
    section = PAGE.partition("## Tools")[0 if model is OpenAIConfig else 2]
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", section, re.MULTILINE)}
    for name, field in model.model_fields.items():
        default, meaning = rows[name]
        assert meaning
        if field.is_required():
            assert default == "must be given"
        elif field.default_factory is None and field.default not in (None, ""):
            assert default == f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
        else:
            assert default in {"none", "empty", "no arguments"}


def test_the_page_names_no_field_that_is_none() -> None:
    tables = PAGE.partition("The arguments arrive")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE))
    assert named == OpenAIConfig.model_fields.keys() | ToolConfig.model_fields.keys()


def test_every_code_of_the_runner_stands_on_the_page_and_no_other() -> None:
    sources = Path(__file__).parents[2].glob("worker/runners/openai*.py")
    used = set(re.findall(r'"(runner\.\w+)"', "".join(source.read_text(encoding="utf-8") for source in sources)))
    assert used == set(re.findall(r"^\| `(runner\.\w+)` \|", PAGE, re.MULTILINE))


@pytest.mark.parametrize("failure", [failure for _, failure in FAILURES])
def test_the_page_says_of_each_code_whether_trying_again_may_help(failure: Any) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{failure.code}` |"))
    assert row.split(" | ")[1] == ("yes" if failure.retryable else "no")


def test_every_error_of_the_client_has_a_row() -> None:
    request = httpx2.Request("POST", "http://x")
    response = httpx2.Response(418, request=request)
    made: dict[type[Exception], Exception] = {
        openai.APIError: openai.APIError("x", request, body=None),
        openai.APIStatusError: openai.APIStatusError("x", response=response, body=None),
        openai.APITimeoutError: openai.APITimeoutError(request),
        openai.APIConnectionError: openai.APIConnectionError(request=request),
        openai.APIResponseValidationError: openai.APIResponseValidationError(response, None),
    }
    kinds = [*_below(openai.OpenAIError), *_below(httpx2.RequestError), AddressRefused]
    for kind in kinds:
        error = made.get(kind) or bare(kind)
        assert isinstance(error, FOREIGN)
        assert translate(error).code.startswith("runner.")


def bare(kind: type[Exception]) -> Exception:
    """One of this type, whatever its constructor wants."""
    error: Exception = kind.__new__(kind)
    return error


def _below(kind: type[Exception]) -> list[type[Exception]]:
    return [found for child in kind.__subclasses__() for found in (child, *_below(child))]


async def test_the_example_runs_against_the_local_server() -> None:
    check("openai", EXAMPLE)
    async with serving() as server:
        agent = open_runner("openai", {**EXAMPLE, "base_url": server.url}, Surroundings(private_endpoints=True))
        asked = await collect(agent, context("Please refund order 42, 9.50 euros"))
        request = asked[-1]
        assert isinstance(request, PermissionRequest)
        assert request.input == {"order": "42", "amount": 9.5}
        allowed = {request.id: Decision(Verdict.ALLOWED)}
        outputs = await collect(agent, context(state=state_of(asked), decisions=allowed))
        assert text_of(outputs).startswith("The tool says: {")
        told = await collect(agent, context("the clock, please"))
        assert [output.error for output in told if isinstance(output, ToolCompleted)] == [False]


async def test_the_local_server_of_the_page_starts_as_the_page_says() -> None:
    command = (sys.executable, "-m", "tests.openai_server", "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, cwd=DOCS.parent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        url = line.split(" listens on ")[1].split()[0]
        agent = open_runner("openai", {**EXAMPLE, "base_url": url}, Surroundings(private_endpoints=True))
        assert text_of(await collect(agent, context("Hello"))) == "You said: Hello"
    finally:
        process.terminate()
        await process.wait()


def test_the_examples_address_is_the_local_servers() -> None:
    assert EXAMPLE["base_url"] == "http://127.0.0.1:9000/v1"
    assert "tests.openai_server --port 9000" in PAGE
