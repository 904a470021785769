"""What the clients of the fault run take for an answer, and what for silence; and whom they ask again."""

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.faults import clients
from tests.faults.clients import Sender, ask_again, chance
from tests.faults.history import NO_JSON, Reply
from tests.faults.right_history import FIRST, answer, outcome
from tests.faults.users.calls import Act, Call, Line, is_open, refusal_of

STREAM = {"Content-Type": "text/event-stream"}
JSON = {"Content-Type": "application/json"}


async def cut(request: web.Request) -> web.StreamResponse:
    """In the middle of its body."""
    return await begun(request, b'{"a": ', JSON | {"Content-Length": "100"})


async def broken_off(request: web.Request) -> web.StreamResponse:
    """In the middle of a stream."""
    return await begun(request, b"event: e\ndata: {}\n\nevent: e\n", STREAM)


async def begun(request: web.Request, data: bytes, headers: dict[str, str]) -> web.StreamResponse:
    """And no more."""
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    await response.write(data)
    assert request.transport is not None
    request.transport.close()
    return response


async def crash(_: web.Request) -> web.Response:
    return web.Response(status=500, text="500 Internal Server Error")


async def garbage(_: web.Request) -> web.Response:
    return web.Response(body=b'{"a": ', headers=JSON)


async def broken(_: web.Request) -> web.Response:
    return web.Response(body=b"event: e\ndata: {}\n\nevent: e\ndata: {\n\n", headers=STREAM)


async def unfinished(_: web.Request) -> web.Response:
    return web.Response(body=b"event: e\ndata: {}\n\nevent: e\ndata: {", headers=STREAM)


async def silent(_: web.Request) -> web.Response:
    return web.Response(body=b"", headers=STREAM)


async def whole(_: web.Request) -> web.Response:
    return web.Response(body=b"event: e\ndata: {}\n\nevent: response\ndata: {}\n\n", headers=STREAM)


async def accept(_: web.Request) -> web.Response:
    return web.json_response({"acceptedAt": "now", **outcome("R0")})


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    app = web.Application()
    for wrong in (cut, crash, garbage, broken, unfinished, broken_off, silent, whole):
        app.router.add_post(f"/{wrong.__name__}", wrong)
    app.router.add_post("/api/v1/threads/{thread}/events", accept)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield Sender(session, [str(server.make_url("")).rstrip("/")], "token", chance(1))


async def test_only_an_answer_that_is_cut_off_is_silence(sender: Sender) -> None:
    replies = [
        await sender.exchange("POST", sender.address(f"/{name}"), {}, {}) for name in ("cut", "crash", "garbage")
    ]
    assert [(reply.status, reply.code) for reply in replies] == [(None, ""), (500, NO_JSON), (200, NO_JSON)]
    assert not any(reply.acknowledged for reply in replies)


@pytest.mark.parametrize("path", ["cut", "crash", "garbage", "broken", "unfinished", "broken_off", "silent", "whole"])
async def test_a_stream_is_asked_for_again_only_where_it_was_cut_off(sender: Sender, path: str) -> None:
    """One that ends as a whole answer does, and has not its last event, is none that can be read."""
    call = Call("cortex", Act.RUN, f"/{path}", {}, None, streamed=True)
    assert await Line(sender).settle(call) is (path == "whole")
    assert is_open(call.last) is (path in ("cut", "broken_off"))
    assert (refusal_of(call.last) or (0, ""))[1] == ("" if is_open(call.last) or path == "whole" else NO_JSON)


async def test_what_has_a_key_and_no_outcome_is_asked_for_again(sender: Sender) -> None:
    silence, refusal = Reply(0, 1, None), Reply(0, 1, 400)
    pending = answer(0, 1, outcome("R0", warnings=[{"code": "apply_pending", "message": "", "eventIndex": 0}]))
    unheard = [replace(FIRST, replies=[reply]) for reply in (pending, silence)]
    others = [FIRST, replace(FIRST, key=None, replies=[silence]), replace(FIRST, replies=[refusal])]
    asked = await ask_again(sender, [*others, *unheard])
    assert asked == unheard[::-1], "what may not even be stored comes first"
    assert all(len(one.replies) == 2 and one.outcomes for one in asked)
    assert [len(one.replies) for one in others] == [1, 1, 1]


async def test_of_what_was_accepted_some_is_asked_for_again_whenever_it_was(sender: Sender) -> None:
    pending = answer(0, 1, outcome("R0", warnings=[{"code": "apply_pending", "message": "", "eventIndex": 0}]))
    history = [replace(FIRST, marker=f"m0-{n}", replies=[pending]) for n in range(100)]
    asked = [int(one.marker.partition("-")[2]) for one in await ask_again(sender, history, most=20)]
    assert len(set(asked)) == 20
    assert max(asked) > 50


async def test_what_nobody_came_to_ask_for_again_must_be_known_too(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "LEARNING", 0.0)
    unheard = replace(FIRST, replies=[Reply(0, 1, None)])
    assert await ask_again(sender, [unheard]) == [unheard]
    assert unheard.replies == [Reply(0, 1, None)]
