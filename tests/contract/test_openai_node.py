"""OpenAI's own client for Node, unmodified: what `tests/node/checks.mjs` did with a service, and what it saw."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared import agents
from tests import node_client
from tests.agents import Stage
from tests.contract.openai_client import call
from tests.contract.quick_start import SHOWN, program, told
from tests.node_client import Node
from tests.places import place
from tests.servers import Addresses
from tests.service import running_service

pytestmark = [pytest.mark.slow, pytest.mark.dialect, pytest.mark.xdist_group("node")]  # the client comes from npm

CHECKS = (node_client.SOURCE / "checks.mjs").read_text(encoding="utf-8")
BEGUN = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
NOT_FOUND = {
    "class": "NotFoundError",
    "status": 404,
    "code": "not_found",
    "param": None,
    "type": "invalid_request_error",
    "named": True,
}


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    return node_client.installed(tmp_path_factory)


@pytest.fixture
async def idle(addresses: Addresses) -> AsyncIterator[dict[str, str]]:
    """A service that never applies anything: whatever must wait for that gets a 503."""
    async with place(addresses) as settings:
        quick = settings.model_copy(update={"wait_limit": 0.5})
        async with running_service(quick, worker=False) as service:
            client = await service.client("acme")
            thread = (await call(client, "POST", "/v1/threads", {})).json["id"]
            yield {
                "THREADMILL_IDLE_URL": client.url,
                "THREADMILL_IDLE_TOKEN": client.token,
                "THREADMILL_IDLE_THREAD": thread,
                "THREADMILL_IDLE_AGENT": client.agent,
            }


async def approving(stage: Stage) -> str:
    """The id of a second agent, which asks before it answers."""
    config = {"function": "worker.runners.demo:approve"}
    async with stage.service.pool.acquire() as db:
        made = await agents.create_agent(db, stage.client.account, "approve", "python", config=config, published=True)
    return made.id


async def test_what_the_client_for_node_does_is_done(node: Node, stage: Stage, idle: dict[str, str]) -> None:
    approve = {"THREADMILL_APPROVE": await approving(stage)}
    lines = [json.loads(line) for line in await node.run(CHECKS, **told(stage.client), **approve, **idle)]
    seen = {line.pop("check"): line for line in lines}
    _threads_and_messages(seen)
    _pages(seen["pages"])
    _polled_runs(seen)
    _streams(seen)
    _errors(seen.pop("errors"))


def _threads_and_messages(seen: dict[str, Any]) -> None:
    thread, message = seen["thread"], seen["message"]
    assert (thread["object"], thread["metadata"], thread["updated"]) == (
        "thread",
        {"a": "1", "b": "2"},
        {"b": "2", "c": "3"},
    )
    assert (message["text"], message["status"], message["updated"]) == ("hello", "completed", {"a": "1", "b": "2"})
    for gone, kind in ((thread, "thread.deleted"), (message, "thread.message.deleted")):
        assert gone["gone"] == {"id": gone["id"], "object": kind, "deleted": True}
        assert gone["after"] == NOT_FOUND


def _pages(pages: dict[str, Any]) -> None:
    numbers = [str(n) for n in range(250)]
    assert pages["asc"] == {"pages": [100, 100, 50], "texts": numbers}
    assert pages["desc"] == {"pages": [100, 100, 50], "texts": numbers[::-1]}


def _polled_runs(seen: dict[str, Any]) -> None:
    answer = ["assistant", "one\ntwo\nthree"]
    assert seen["create_and_poll"] == {
        "status": "completed",
        "usage": 6,
        "same": True,
        "listed": [True],
        "said": [["user", "one"], ["user", "two"], ["user", "three"], answer],
        "answers": [answer],
    }
    assert seen["create_and_run_poll"] == {
        "status": "completed",
        "said": [["user", "at once"], ["assistant", "at once"]],
    }
    assert seen["submit_tool_outputs_and_poll"]["outcomes"] == [
        ["requires_action", "request_permission", "completed", "water the plants"],
        ["requires_action", "request_permission", "completed", "I did not answer: rejected."],
    ]
    assert seen["failure"] == {
        "status": "failed",
        "code": "server_error",
        "message": "demo.failed: The text asked for it.",
        "stream": "failed",
    }
    cancel = seen["cancel"]
    assert cancel["status"] == "cancelled"
    assert int(cancel["poll_after"]) < 1_000  # without it the client asks every five seconds
    assert [(one["class"], one["status"]) for one in (cancel["busy"], cancel["again"])] == [
        ("BadRequestError", 400)
    ] * 2


def _streams(seen: dict[str, Any]) -> None:
    stream = seen["stream"]
    assert (stream["status"], stream["messages"]) == ("completed", ["one two three"])
    assert "".join(stream["deltas"]) == "one two three"
    names = [name for name in stream["events"] if name != "thread.message.delta"]
    assert names == [
        *BEGUN,
        *(f"thread.message.{name}" for name in ("created", "in_progress", "completed")),
        "thread.run.completed",
    ]
    assert seen["stream_is_iterated"] == {"first": "thread.created", "last": "thread.run.completed"}
    assert seen["stream_is_cancelled"] == {"status": "cancelled", "message": "incomplete", "reason": "run_cancelled"}
    assert seen["stream_is_left"] == {"left": "APIUserAbortError", "status": "completed"}
    assert seen["stream_of_outputs"] == {"asked": "requires_action", "status": "completed", "messages": ["go on"]}


def _errors(seen: dict[str, Any]) -> None:
    assert {name: (error["class"], error.get("status")) for name, error in seen.items()} == {
        "bad": ("BadRequestError", 400),
        "cursor": ("BadRequestError", 400),
        "stranger": ("AuthenticationError", 401),
        "unknown": ("NotFoundError", 404),
        "large": ("APIError", 413),
        "unavailable": ("InternalServerError", 503),
        "nobody": ("APIConnectionError", None),
        "timeout": ("APIConnectionTimeoutError", None),
        "aborted": ("APIUserAbortError", None),
        "refused": ("NotFoundError", 404),
        "within": ("APIError", None),  # an event of a stream that had begun
    }
    assert (seen["bad"]["param"], seen["cursor"]["param"]) == ("metadata", "after")
    assert (seen["stranger"]["code"], seen["unavailable"]["type"]) == ("invalid_api_key", "server_error")
    answered = [error for error in seen.values() if "status" in error]
    assert all(error["named"] for error in answered)


async def test_the_quick_start_for_node_works_as_it_stands(node: Node, stage: Stage) -> None:
    assert await node.run(program("javascript"), **told(stage.client)) == SHOWN


def test_the_lock_file_names_no_registry_and_one_exact_client() -> None:
    packages = json.loads((node_client.SOURCE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    wanted = json.loads((node_client.SOURCE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert wanted["openai"] == packages["node_modules/openai"]["version"]
    del packages[""]
    ours = {name: one["resolved"] for name, one in packages.items() if "resolved" in one}
    assert all(packages.pop(name)["link"] and packages.pop(place) for name, place in ours.items())
    assert set(ours.values()) == {"stand-ins/kubernetes-models", "stand-ins/validate"}
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
