"""What the console shows of an agent's configuration."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from api.console.masking import MASK, NUMBER, SHOWN, endpoint, masked, receiver
from worker.runners.agui.config import AguiConfig
from worker.runners.openai_config import OpenAIConfig
from worker.runners.python import PythonConfig

SECRET = "5ecret-of-a-kind"
NAMES = (
    *(
        "x-api-key",
        "api-key",
        "private-key",
        "access_key",
        "auth",
        "bearer",
        "pwd",
        "pass",
        "key",
        "DB_PASS",
        "FOO_KEY",
    ),
    *("signature", "token", "headers", "api_key", "password", "url", "harmless", "api_key_env"),
)


@pytest.mark.parametrize("runner", ["python", "openai", "agui", "of somebody else"])
def test_what_is_not_known_to_be_harmless_is_masked_whatever_it_is_called_and_however_deep_it_stands(
    runner: str,
) -> None:
    for value in (SECRET, 40771, 40771.5, ["--token", SECRET], {"a": [{"b": SECRET}]}, f"https://{SECRET}@h/{SECRET}"):
        config: dict[str, Any] = {f"own {name}": value for name in NAMES} | {
            name: value for name in NAMES if name != "url"
        }
        shown = masked(runner, {**config, "deep": [config]})
        text = json.dumps(shown)
        assert not [one for one in (SECRET, "40771", "--token") if one in text]
        assert set(shown) == {*config, "deep"}


def test_keys_structure_and_types_are_kept() -> None:
    config = {"function": "m:f", "on": True, "none": None, "n": 1, "list": ["a", 2, False], "map": {"deep": {"a": "b"}}}
    assert masked("python", config) == {
        "function": "m:f",
        "on": True,
        "none": None,
        "n": NUMBER,
        "list": [MASK, NUMBER, False],
        "map": {"deep": {"a": MASK}},
    }


def test_what_our_runners_know_is_shown() -> None:
    token = {"type": "string", "description": "of it"}
    schema: dict[str, Any] = {"type": "object", "properties": {"token": token}, "required": ["token"]}
    tool = {"name": "search", "function": "m:f", "ask": True, "timeout": 3}
    known: dict[str, Any] = {"model": "m", "system": "Be kind.", "max_tokens": 400, "api_key_env": "OPENAI_KEY"}
    known |= {"base_url": "https://a.example:8/v1", "temperature": 0.5, "parameters": {"top_p": 1}}
    given = {**schema, "properties": {"token": {**token, "default": SECRET}}}
    shown = masked("openai", {**known, "tools": [{**tool, "parameters": given}]})
    schema["properties"] = {"token": {**token, "default": MASK}}
    assert shown == {**known, "tools": [{**tool, "parameters": schema}]}


@pytest.mark.parametrize(
    ("runner", "model"), [("python", PythonConfig), ("openai", OpenAIConfig), ("agui", AguiConfig)]
)
def test_every_field_that_is_shown_is_one_of_the_runners(runner: str, model: type[BaseModel]) -> None:
    assert SHOWN[runner].keys() <= model.model_fields.keys()


def test_of_an_endpoint_for_agui_only_the_place_is_shown() -> None:
    config = {
        "url": "https://a.example/agent",
        "token_env": "AGUI_TOKEN",
        "headers": {"X-Team": "a"},
        "timeout": 2,
        "forwarded_props": {"seat": 4},
        "context": [{"description": "where", "value": SECRET}],
    }
    assert masked("agui", config) == {
        **config,
        "headers": {"X-Team": MASK},
        "forwarded_props": {"seat": NUMBER},
        "context": [{"description": "where", "value": MASK}],
    }


@pytest.mark.parametrize(
    "pasted", ["sk-abcdefghijkl", "AKIA5123456789ABCDEF", "ABCDEFGHIJKLMNOPQRSTU", "lower", "A B", 7]
)
def test_a_secret_in_the_place_of_a_variables_name_is_masked(pasted: object) -> None:
    for runner in ("openai", "python"):
        assert str(pasted) not in json.dumps(masked(runner, {"api_key_env": pasted}))


def test_what_has_the_shape_of_a_secret_is_masked_in_what_is_shown() -> None:
    shown = masked("openai", {"model": "sk-abcdefghijklmnop", "system": "Say api_key=hunter2, X-Api-Key: hunter3."})
    assert "ghijk" not in shown["model"]
    assert "hunter" not in shown["system"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a.example/v1", "https://a.example/v1"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
        ("https://me:pass@a.example:8443/v1?key=1&b=2#c", f"https://{MASK}@a.example:8443/v1?{MASK}#{MASK}"),
        ("not an address", MASK),
        ("https://a.example\\secret", MASK),
        ("https://[broken", MASK),
        ("https://", MASK),
        (7, NUMBER),
    ],
)
def test_an_endpoint_is_shown_without_who_logs_in_and_its_parameters(text: object, shown: str) -> None:
    assert endpoint(text) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.slack.com/services/T0/B0/secret", f"https://hooks.slack.com/{MASK}"),
        ("https://a.example:8/", "https://a.example:8/"),
        ("https://u@a.example?x=1#y", f"https://{MASK}@a.example?{MASK}#{MASK}"),
    ],
)
def test_of_a_webhook_scheme_and_host_are_shown(url: str, shown: str) -> None:
    assert receiver(url) == shown
