"""The runner `openai` on a server of this machine, and what it told that server."""

from typing import Any

from tests.openai_server import OpenAIServer
from worker.runners import Runner
from worker.runners.registry import Surroundings, open_runner

KEY = "sk-test-0123456789abcdef"


def runner(url: str, *, private: bool = True, **config: Any) -> Runner:
    """With a key in its environment, and no patience. `private`: whether it may call this machine."""
    given = {"base_url": url, "model": "m", "api_key_env": "MODEL_KEY", "retries": 0, "timeout": 5.0, **config}
    return open_runner("openai", given, Surroundings(private_endpoints=private, environment={"MODEL_KEY": KEY}))


def roles(server: OpenAIServer) -> list[str]:
    """Whose each message of the last request is."""
    return [sent["role"] for sent in server.last_messages()]


def tool_answers(server: OpenAIServer) -> dict[str, str]:
    """What the last request tells of each call, by its id."""
    return {sent["tool_call_id"]: sent["content"] for sent in server.last_messages() if sent["role"] == "tool"}
