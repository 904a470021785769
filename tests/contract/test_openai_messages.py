"""Threads and messages by OpenAI's own client: made, listed page by page, read, changed, removed."""

from typing import Any

import openai
import pytest

from shared import ids
from tests.contract.openai_client import call, refusal
from tests.service import Client, message

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]


async def texts(client: Client, path: str) -> list[str]:
    reply = await call(client, "GET", path)
    assert reply.status == 200, reply
    return [entry["content"][0]["text"]["value"] for entry in reply.json]


async def fill(client: Client, *words: str) -> tuple[str, list[str]]:
    """A thread with messages; its id and theirs."""
    body = {"messages": [{"role": "user", "content": word} for word in words]}
    thread = (await call(client, "POST", "/v1/threads", body)).json["id"]
    listed = await call(client, "GET", f"/threads/{thread}/messages?order=asc&limit=100")
    return thread, [entry["id"] for entry in listed.json]


async def test_a_thread_is_made_read_changed_and_deleted(threads: Any, client: Client) -> None:
    made = await threads.create(
        messages=[{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
        metadata={"a": "1", "b": "2"},
    )
    assert (made.object, made.metadata) == ("thread", {"a": "1", "b": "2"})
    assert await threads.retrieve(made.id) == made
    page = await threads.messages.list(made.id, order="asc")
    assert [(m.role, m.content[0].text.value, m.run_id) for m in page.data] == [
        ("user", "hello", None),
        ("assistant", "hi", None),
    ]
    changed = await threads.update(made.id, metadata={"a": "", "b": "3", "c": "4"})
    assert changed.metadata == (await threads.retrieve(made.id)).metadata == {"b": "3", "c": "4"}
    gone = await threads.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "thread.deleted", True)
    for again in (threads.delete, threads.retrieve, threads.messages.list):
        with pytest.raises(openai.NotFoundError):
            await again(made.id)
    assert (await client.call("GET", f"/threads/{made.id}")).status == 404


async def test_a_thread_needs_no_body(client: Client) -> None:
    for body in (None, b"", {}, {"messages": None, "metadata": None}):
        assert (await call(client, "POST", "/v1/threads", body)).json["metadata"] == {}


async def test_a_message_is_made_read_changed_and_deleted(threads: Any) -> None:
    thread = await threads.create()
    made = await threads.messages.create(
        thread.id,
        role="user",
        content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        metadata={"k": "v"},
    )
    assert [part.text.value for part in made.content] == ["a", "b"]
    assert (made.status, made.thread_id, made.metadata) == ("completed", thread.id, {"k": "v"})
    assert await threads.messages.retrieve(made.id, thread_id=thread.id) == made
    changed = await threads.messages.update(made.id, thread_id=thread.id, metadata={"n": "1"})
    assert changed.metadata == {"k": "v", "n": "1"}
    gone = await threads.messages.delete(made.id, thread_id=thread.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "thread.message.deleted", True)
    for again in (threads.messages.delete, threads.messages.retrieve):
        with pytest.raises(openai.NotFoundError):
            await again(made.id, thread_id=thread.id)


async def test_the_client_pages_through_all_messages_by_itself(threads: Any, client: Client) -> None:
    thread, made = await fill(client, *[str(n) for n in range(90)])
    for n in range(90, 270):
        said = {"role": "user", "content": str(n)}
        made.append((await call(client, "POST", f"/v1/threads/{thread}/messages", said)).json["id"])
    for order, wanted in (("asc", made), ("desc", made[::-1])):
        assert [one.id async for one in threads.messages.list(thread, order=order, limit=100)] == wanted
        assert [one.id async for one in threads.messages.list(thread, order=order)] == wanted


async def test_cursors_are_exclusive_and_before_is_the_page_that_ends_there(client: Client) -> None:
    thread, made = await fill(client, *"abcdef")
    path = f"/threads/{thread}/messages?limit=2"
    for query, wanted in {
        "": "fe",
        "&order=asc": "ab",
        f"&after={made[4]}": "dc",
        f"&order=asc&after={made[1]}": "cd",
        f"&before={made[1]}": "dc",
        f"&order=asc&before={made[4]}": "cd",
        f"&before={made[0]}&after={made[5]}": "ed",
        f"&order=asc&after={made[0]}&before={made[2]}": "b",
        f"&before={made[5]}": "",
        f"&after={made[0].lower()}": "",
    }.items():
        assert (query, "".join(await texts(client, path + query))) == (query, wanted)


async def test_a_page_says_whether_more_lie_in_its_direction(client: Client) -> None:
    thread, made = await fill(client, *"abcd")
    path = f"/v1/threads/{thread}/messages?limit=2"
    for query, more in {
        "": True,
        f"&after={made[2]}": False,
        f"&before={made[1]}": False,
        f"&before={made[0]}": True,
    }.items():
        page = (await call(client, "GET", path + query)).json
        assert (query, page["has_more"], len(page["data"])) == (query, more, 2)
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][1]["id"])
    nothing = (await call(client, "GET", f"{path}&after={made[0]}")).json
    assert nothing == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


async def test_a_cursor_that_is_no_message_of_the_thread_is_refused_by_its_name(client: Client) -> None:
    thread, _ = await fill(client, "a")
    _, others = await fill(client, "b")
    for name in ("before", "after"):
        for cursor in (others[0], ids.mint(), "nonsense", ""):
            reply = await call(client, "GET", f"/v1/threads/{thread}/messages?{name}={cursor}")
            assert refusal(reply)[:2] == (400, name)


@pytest.mark.parametrize(
    ("query", "param"), [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("order=up", "order")]
)
async def test_a_query_is_refused_by_what_is_wrong_in_it(client: Client, query: str, param: str) -> None:
    thread = await client.new_thread()
    assert refusal(await call(client, "GET", f"/v1/threads/{thread}/messages?{query}"))[:2] == (400, param)


async def test_a_run_that_is_asked_for_and_unknown_is_not_found(client: Client) -> None:
    thread = await client.new_thread()
    for run in (ids.mint(), "nonsense"):
        assert refusal(await call(client, "GET", f"/v1/threads/{thread}/messages?run_id={run}"))[0] == 404


async def test_metadata_stay_within_their_limits_whatever_is_merged(client: Client) -> None:
    thread, (first, *_) = await fill(client, "a")
    sixteen = {f"k{n}": "v" for n in range(16)}
    for path in (f"/v1/threads/{thread}", f"/v1/threads/{thread}/messages/{first}"):
        assert (await call(client, "POST", path, {"metadata": sixteen})).json["metadata"] == sixteen
        assert refusal(await call(client, "POST", path, {"metadata": {"one": "more"}}))[:2] == (400, "metadata")
        swapped = await call(client, "POST", path, {"metadata": {"one": "more", "k0": None}})
        assert swapped.json["metadata"] == {key: "v" for key in sixteen if key != "k0"} | {"one": "more"}
        unchanged = await call(client, "POST", path, {"metadata": None})
        assert unchanged.json["metadata"] == swapped.json["metadata"]


LONG = {"k" * 65: "v"}
REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({"content": "a"}, "role"),
    ({"role": "system", "content": "a"}, "role"),
    ({"role": "user"}, "content"),
    ({"role": "user", "content": ""}, "content"),
    ({"role": "user", "content": " \n"}, "content"),
    ({"role": "user", "content": None}, "content"),
    ({"role": "user", "content": []}, "content"),
    ({"role": "user", "content": 7}, "content"),
    ({"role": "user", "content": [{"type": "text", "text": 7}]}, "content"),
    ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example"}}]}, "content"),
    ({"role": "user", "content": "é" * 131_073}, "content"),
    ({"role": "user", "content": "a", "metadata": []}, "metadata"),
    ({"role": "user", "content": "a", "metadata": {"a": 1}}, "metadata"),
    ({"role": "user", "content": "a", "metadata": LONG}, "metadata"),
    ({"role": "user", "content": "a", "metadata": {"a": "v" * 513}}, "metadata"),
    ({"role": "user", "content": "a", "metadata": {f"k{n}": "v" for n in range(17)}}, "metadata"),
    ({"role": "user", "content": "a", "attachments": [{"file_id": "file_1", "tools": []}]}, "attachments"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED)
async def test_a_message_is_refused_by_the_field_that_is_wrong(
    client: Client, body: dict[str, Any], param: str
) -> None:
    thread = await client.new_thread()
    assert refusal(await call(client, "POST", f"/v1/threads/{thread}/messages", body))[:2] == (400, param)
    nested = await call(client, "POST", "/v1/threads", {"messages": [{"role": "user", "content": "a"}, body]})
    assert refusal(nested)[:2] == (400, f"messages.1.{param}")
    assert await texts(client, f"/threads/{thread}/messages") == []


async def test_what_is_at_a_limit_is_taken(client: Client) -> None:
    thread = await client.new_thread()
    metadata = {f"{n:064}": "é" * 512 for n in range(16)}
    body = {"role": "user", "content": "a" * 262_144, "metadata": metadata, "attachments": []}
    made = await call(client, "POST", f"/v1/threads/{thread}/messages", body)
    assert (made.status, made.json["metadata"]) == (200, metadata)
    nulls = {"role": "user", "content": "a", "metadata": {"a": None, "b": "1"}, "attachments": None}
    assert (await call(client, "POST", f"/threads/{thread}/messages", nulls)).json["metadata"] == {"b": "1"}


async def test_a_thread_of_another_account_does_not_exist(client: Client, stranger: Client) -> None:
    thread, (mine, *_) = await fill(client, "a")
    said = {"role": "user", "content": "a"}
    for place in (thread, ids.mint(), "nonsense", "thread_abc"):
        for method, path, body in (
            ("GET", "", None),
            ("POST", "", {"metadata": {"a": "1"}}),
            ("DELETE", "", None),
            ("GET", "/messages", None),
            ("POST", "/messages", said),
            ("GET", f"/messages/{mine}", None),
            ("POST", f"/messages/{mine}", {"metadata": {"a": "1"}}),
            ("DELETE", f"/messages/{mine}", None),
        ):
            assert refusal(await call(stranger, method, f"/v1/threads/{place}{path}", body))[0] == 404
    for message_id in (ids.mint(), "nonsense", "msg_abc"):
        assert refusal(await call(client, "GET", f"/v1/threads/{thread}/messages/{message_id}"))[0] == 404
    assert await texts(client, f"/threads/{thread}/messages") == ["a"]


async def test_one_message_of_another_thread_is_none_of_this_one(client: Client) -> None:
    thread, _ = await fill(client, "a")
    other, (theirs, *_) = await fill(client, "b")
    for method, body in (("GET", None), ("POST", {"metadata": {"a": "1"}}), ("DELETE", None)):
        assert refusal(await call(client, method, f"/v1/threads/{thread}/messages/{theirs}", body))[0] == 404
    assert await texts(client, f"/threads/{other}/messages") == ["b"]


async def test_what_was_said_in_the_native_dialect_is_read_in_this_one(client: Client) -> None:
    thread = await client.new_thread("first")
    await client.send(thread, message("second"))
    assert await texts(client, f"/threads/{thread}/messages?order=asc") == ["first", "second"]
    log = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    said = [event["id"] for event in log if event["type"] == "user.message"]
    listed = (await call(client, "GET", f"/threads/{thread}/messages?order=asc")).json
    assert [entry["id"] for entry in listed] == said


async def test_an_archived_thread_is_read_and_not_written(client: Client) -> None:
    thread, _ = await fill(client, "a")
    await client.call("POST", f"/threads/{thread}/archive")
    assert await texts(client, f"/threads/{thread}/messages") == ["a"]
    reply = await call(client, "POST", f"/v1/threads/{thread}/messages", {"role": "user", "content": "b"})
    assert refusal(reply)[0] == 400
    assert (await call(client, "DELETE", f"/v1/threads/{thread}")).json["deleted"] is True
