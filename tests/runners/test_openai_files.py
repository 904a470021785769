"""What a model sees of the files of a thread's messages; and that no checkpoint holds them."""

import json
from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.model_tools import ADD
from tests.openai_server import OpenAIServer, says, wants
from tests.runners.openai import runner
from tests.runs import MOMENT, collect, context, message, state_of
from worker.runners import Context, Files, RunnerError
from worker.runners.files import away
from worker.runners.localfiles import LocalShelf

PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 50


def with_files(root: Path, files: dict[str, bytes], text: str = "Look", **settings: Any) -> Context:
    """A run that answers a message with these files."""
    for name, data in files.items():
        (root / name).write_bytes(data)
    shelf = LocalShelf([root / name for name in files], MOMENT, root)
    return context(messages=[replace(message(text), files=shelf.ids)], files=Files(shelf), **settings)


def sent(server: OpenAIServer, place: int = -1) -> Any:
    """The content of a message of the last request."""
    return server.last_messages()[place]["content"]


def text(said: str) -> dict[str, str]:
    return {"type": "text", "text": said}


def image(data: bytes, kind: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{b64encode(data).decode()}"}}


async def test_images_and_texts_go_along_and_all_else_is_named(server: OpenAIServer, tmp_path: Path) -> None:
    jpeg, gif, webp = b"\xff\xd8\xff\xe0x", b"GIF89ax", b"RIFF\0\0\0\0WEBPx"
    files = {"a.png": PNG, "b.jpg": jpeg, "c.gif": gif, "d.webp": webp, "e.md": "# Grüße".encode()}
    files |= {"f.json": b'{"a":1}', "g.pdf": b"%PDF-1.7", "h.txt": b"bin\0ary", "i.png": b"no image"}
    await collect(runner(server.url), with_files(tmp_path, files))
    assert sent(server) == [
        text("Look"),
        image(PNG, "png"),
        image(jpeg, "jpeg"),
        image(gif, "gif"),
        image(webp, "webp"),
        text('[File "e.md", text/markdown:]\n# Grüße'),
        text('[File "f.json", application/json:]\n{"a":1}'),
        text('[File "g.pdf", application/pdf, 8 bytes; it is not shown to you.]'),
        text('[File "h.txt", text/plain, 7 bytes; it is not shown to you.]'),
        text('[File "i.png", image/png, 8 bytes; it is not shown to you.]'),
    ]


@pytest.mark.parametrize(
    "config", [{"images": False}, {"image_limit": len(PNG) - 1}, {"files_limit": len(PNG) - 1}, {"image_limit": 0}]
)
async def test_a_model_is_shown_no_image_that_its_agent_has_no_room_for(
    server: OpenAIServer, tmp_path: Path, config: dict[str, Any]
) -> None:
    await collect(runner(server.url, **config), with_files(tmp_path, {"a.png": PNG, "b.txt": b"hi"}))
    assert sent(server)[1:] == [
        text(f'[File "a.png", image/png, {len(PNG)} bytes; it is not shown to you.]'),
        text('[File "b.txt", text/plain:]\nhi'),
    ]


async def test_files_of_the_newest_message_have_room_first(server: OpenAIServer, tmp_path: Path) -> None:
    ctx = with_files(tmp_path, {"old.txt": b"x" * 60, "new.txt": b"y" * 60})
    old, new = ctx.messages[0].files
    history = [replace(message("Before", ident="m0"), files=(old, "0" * 26))]

    async def read_history(limit: int) -> Any:
        return history[-limit:]

    ctx = replace(ctx, messages=[replace(ctx.messages[0], files=(new,))], read_history=read_history)
    await collect(runner(server.url, files_limit=100), ctx)
    assert sent(server) == [text("Look"), text('[File "new.txt", text/plain:]\n' + "y" * 60)]
    assert sent(server, -2) == [
        text("Before"),
        text('[File "old.txt", text/plain, 60 bytes; it is not shown to you.]'),
        text('[File "old.txt", text/plain, 60 bytes; it is not shown to you.]'),
    ]


async def test_a_checkpoint_names_files_and_the_next_attempt_reads_them_again(
    server: OpenAIServer, tmp_path: Path
) -> None:
    agent = runner(server.url, tools=[ADD], text_limit=1 << 20)
    ctx = with_files(tmp_path, {"a.txt": b"z" * 900_000})
    server.answers += [wants(("c1", "add", '{"a": 1, "b": 2}')), says("3")]
    state = state_of(await collect(agent, ctx))
    assert len(json.dumps(state)) < 2_000
    assert "z" * 900_000 in sent(server, 0)[1]["text"]  # behind the tool, too
    server.answers.append(says("again"))
    await collect(agent, replace(ctx, state=state, attempt=2))
    assert "z" * 900_000 in sent(server, 0)[1]["text"]


async def test_a_message_without_files_is_sent_as_text_and_nothing_is_asked(server: OpenAIServer) -> None:
    class Never:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    await collect(runner(server.url), context("Hello", files=Files(Never())))
    assert sent(server) == "Hello"


async def test_a_storage_that_is_away_fails_the_run_and_a_file_that_is_gone_does_not(
    server: OpenAIServer, tmp_path: Path
) -> None:
    ctx = with_files(tmp_path, {"a.txt": b"hi"})
    (tmp_path / "a.txt").unlink()
    await collect(runner(server.url), ctx)
    assert sent(server)[1:] == [text("[A file was attached here; it is not there any more.]")]

    class Away(LocalShelf):
        async def read(self, file: str, start: int, stop: int | None = None) -> AsyncGenerator[bytes]:
            raise away()
            yield b""

    (tmp_path / "a.txt").write_bytes(b"hi")
    ctx = replace(ctx, files=Files(Away([tmp_path / "a.txt"], MOMENT, tmp_path)))
    with pytest.raises(RunnerError, match="out of reach"):
        await collect(runner(server.url), ctx)
