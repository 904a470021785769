"""What an AG-UI endpoint is asked with: the conversation, and the state that its streams make."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ag_ui import core

from tests.runners.agui import TOKEN, Upstream, failure, outputs, text
from tests.runners.conftest import NOON
from worker.runners import Checkpoint, Context, Files, Message
from worker.runners.localfiles import LocalShelf


async def test_the_state_is_what_snapshots_and_deltas_make_of_it(upstream: Upstream, ctx: Context) -> None:
    delta: Any = [{"op": "add", "path": "/items/-", "value": 2}, {"op": "move", "from": "/old", "path": "/new"}]
    upstream.says(
        core.StateSnapshotEvent(snapshot={"gone": True}),
        core.StateSnapshotEvent(snapshot={"items": [1], "old": None}),
        core.StateDeltaEvent(delta=delta),
    )
    [checkpoint] = await outputs(upstream, ctx)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.state["state"] == {"items": [1, 2], "new": None}


async def test_a_state_may_be_changed_for_ever_and_grow_to_its_limit(upstream: Upstream, ctx: Context) -> None:
    half = "x" * 300_000
    to_and_fro: list[Any] = [
        {"op": "replace", "path": "/a", "value": half},
        {"op": "replace", "path": "/a", "value": 0},
    ]
    upstream.says(
        core.StateSnapshotEvent(snapshot={"a": 0}), *(core.StateDeltaEvent(delta=to_and_fro) for _ in range(5))
    )
    await outputs(upstream, ctx)
    grown: list[Any] = [{"op": "add", "path": "/b", "value": half}]
    upstream.says(core.StateSnapshotEvent(snapshot={"a": half}), core.StateDeltaEvent(delta=grown))
    assert "512 KiB" in (await failure(upstream, ctx)).message


async def test_a_run_that_told_everything_is_not_asked_for_again(upstream: Upstream, ctx: Context) -> None:
    upstream.says(*text("one", "Hi"))
    *_, checkpoint = await outputs(upstream, ctx)
    assert isinstance(checkpoint, Checkpoint)
    assert await outputs(upstream, replace(ctx, state=checkpoint.state, attempt=2)) == []
    assert len(upstream.asked) == 1


async def test_the_state_of_another_run_is_handed_on_without_its_end(upstream: Upstream, ctx: Context) -> None:
    upstream.says(core.StateSnapshotEvent(snapshot={"n": 1}))
    *_, checkpoint = await outputs(upstream, ctx)
    assert isinstance(checkpoint, Checkpoint)
    upstream.says(*text("one", "Hi"))
    await outputs(upstream, replace(ctx, run="NEXT", state=checkpoint.state))
    assert (upstream.asked[1].run_id, upstream.asked[1].state) == ("NEXT", {"n": 1})


async def test_the_endpoint_is_asked_with_our_ids_and_the_conversation(upstream: Upstream, ctx: Context) -> None:
    async def history(limit: int) -> Sequence[Message]:
        assert limit == 2
        return [Message("M1", "user", "Hi", NOON), Message("M2", "assistant", "Hi!", NOON)]

    upstream.says()
    config = {
        "history": 2,
        "forwarded_props": {"tone": "dry"},
        "context": [{"description": "where", "value": "Oslo"}],
        "headers": {"X-Client": "us"},
        "token_env": "TOKEN",
    }
    await outputs(upstream, replace(ctx, read_history=history, attempt=3), **config)
    assert upstream.raw == [
        {
            "threadId": "THREAD",
            "runId": "RUN",
            "protocolVersion": "1.0",
            "state": {},
            "messages": [
                {"id": "M1", "role": "user", "content": "Hi"},
                {"id": "M2", "role": "assistant", "content": "Hi!"},
                {"id": "M3", "role": "user", "content": "Hello?"},
            ],
            "tools": [],
            "context": [{"description": "where", "value": "Oslo"}],
            "forwardedProps": {"tone": "dry"},
        }
    ]
    sent = upstream.headers[0]
    assert (sent["Authorization"], sent["X-Client"]) == (f"Bearer {TOKEN}", "us")
    assert (sent["Accept"], sent["Accept-Encoding"]) == ("text/event-stream", "identity")


async def test_without_a_history_only_the_new_messages_go_along(upstream: Upstream, ctx: Context) -> None:
    async def history(_: int) -> Sequence[Message]:
        raise AssertionError("nobody asked for it")

    upstream.says()
    await outputs(upstream, replace(ctx, read_history=history), history=0)
    assert [message.id for message in upstream.asked[0].messages] == ["M3"]
    assert "Authorization" not in upstream.headers[0]


async def test_files_of_messages_are_handed_on_as_handles(upstream: Upstream, ctx: Context, tmp_path: Path) -> None:
    for name in ("a.png", "b.pdf"):
        (tmp_path / name).write_bytes(b"hello")
    shelf = LocalShelf([tmp_path / "a.png", tmp_path / "b.pdf"], NOON, tmp_path)
    picture, document = shelf.ids
    upstream.says(*text("one", "Hi"))
    said = replace(ctx.messages[-1], files=(picture, "7" * 26, document))
    await outputs(upstream, replace(ctx, messages=[said], files=Files(shelf)))
    words, *parts = upstream.raw[0]["messages"][-1]["content"]
    assert words["text"] == said.text
    assert [(part["type"], part["source"]["value"], part["metadata"]["name"]) for part in parts] == [
        ("image", picture, "a.png"),
        ("document", document, "b.pdf"),
    ]
    assert parts[0]["source"] == {"type": "file", "value": picture, "provider": "threadmill", "mimeType": "image/png"}
