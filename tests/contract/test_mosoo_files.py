"""Files of the native dialect: uploaded, read whole or in part, listed, deleted."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from shared import accounts, ids
from shared.files import rows
from shared.files.opening import open_storage
from shared.ids import FileId
from shared.models import TokenKind
from shared.settings import Settings
from tests.rows import attach
from tests.service import Client, Service, running_service, upload

NAMES = ["notes.txt", "naïve résumé.pdf", "日本語 😀.png", 'a "quoted"; name=x%41.txt', "100%.csv", "-rf", "a'b.txt"]

PIECES = [("0-0", 0, 1), ("2-4", 2, 5), ("7-", 7, 10), ("-3", 7, 10), ("-99", 0, 10), ("8-99", 8, 10)]


async def test_an_uploaded_file_is_told_of_and_read_as_it_was_sent(client: Client) -> None:
    data = bytes(range(256)) * 1000
    reply = await upload(client, data, "data.bin", "application/X-Thing; charset=x")
    assert reply.status == 201
    file = reply.json["file"]
    assert {name: file[name] for name in ("name", "size", "mimeType")} == {
        "name": "data.bin",
        "size": len(data),
        "mimeType": "application/x-thing",
    }
    assert set(file) == {"id", "name", "size", "mimeType", "createdAt"}
    assert (await client.call("GET", f"/files/{file['id']}")).json == reply.json
    content = await client.call("GET", f"/files/{file['id']}/content")
    assert (content.status, content.body) == (200, data)
    assert content.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert content.headers["cache-control"] == "no-store"
    assert content.headers["x-content-type-options"] == "nosniff"
    assert content.headers["x-request-id"]


async def test_a_file_may_be_empty(client: Client) -> None:
    reply = await upload(client, b"")
    assert (reply.status, reply.json["file"]["size"]) == (201, 0)
    content = await client.call("GET", f"/files/{reply.json['file']['id']}/content")
    assert (content.status, content.body, content.headers["content-length"]) == (200, b"", "0")


async def test_a_file_may_hold_what_looks_like_the_end_of_its_form(client: Client) -> None:
    data = b"\r\n--\r\n--a\r\n--c--\r\n\r\n-" * 20_000
    reply = await upload(client, data)
    content = await client.call("GET", f"/files/{reply.json['file']['id']}/content")
    assert content.body == data


async def test_every_name_comes_back_and_is_safe_in_a_header(client: Client) -> None:
    for name in NAMES:
        reply = await upload(client, b"x", name.replace('"', "%22"))
        assert reply.json["file"]["name"] == name
        header = (await client.call("GET", f"/files/{reply.json['file']['id']}/content")).headers["content-disposition"]
        assert header.startswith('attachment; filename="')
        assert header.isascii()
        assert header.count('"') == 2
        assert unquote(header.partition("filename*=UTF-8''")[2]) == name


async def test_a_name_may_come_in_the_extended_form(client: Client) -> None:
    disposition = b"form-data; name=file; filename=\"x\"; filename*=UTF-8''%E2%82%AC.txt"
    body = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n1\r\n--b--"
    fields = {"Content_Type": 'multipart/form-data; charset=utf-8; boundary="b"'}
    reply = await client.call("POST", f"/agents/{client.agent}/files", body, **fields)
    assert reply.json["file"]["name"] == "€.txt"
    assert reply.json["file"]["mimeType"] == "application/octet-stream"


async def test_a_range_is_answered_with_its_bytes(client: Client) -> None:
    file = (await upload(client, b"0123456789")).json["file"]["id"]
    for asked, start, stop in PIECES:
        reply = await client.call("GET", f"/files/{file}/content", Range=f"bytes={asked}")
        assert (reply.status, reply.body) == (206, b"0123456789"[start:stop]), asked
        assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/10"


async def test_a_range_beyond_the_file_is_refused_with_its_size(client: Client) -> None:
    file = (await upload(client, b"0123456789")).json["file"]["id"]
    for asked in ("bytes=10-", "bytes=-0", "bytes=99-100"):
        reply = await client.call("GET", f"/files/{file}/content", Range=asked)
        assert (reply.status, reply.body, reply.headers["content-range"]) == (416, b"", "bytes */10"), asked


async def test_what_is_no_range_of_one_piece_means_the_whole_file(client: Client) -> None:
    file = (await upload(client, b"0123456789")).json["file"]["id"]
    for asked in ("lines=1-2", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "bytes=a-b"):
        reply = await client.call("GET", f"/files/{file}/content", Range=asked)
        assert (reply.status, reply.body) == (200, b"0123456789"), asked


async def test_a_range_of_another_file_than_this_one_means_the_whole_file(client: Client) -> None:
    file = (await upload(client, b"0123456789")).json["file"]["id"]
    tag = (await client.call("HEAD", f"/files/{file}/content")).headers["etag"]
    path = f"/files/{file}/content"
    assert (await client.call("GET", path, Range="bytes=1-1", If_Range=tag)).status == 206
    assert (await client.call("GET", path, Range="bytes=1-1", If_Range='"another"')).status == 200


async def test_head_answers_as_get_does_without_the_bytes(client: Client) -> None:
    file = (await upload(client, b"0123456789")).json["file"]["id"]
    got = await client.call("GET", f"/files/{file}/content")
    reply = await client.call("HEAD", f"/files/{file}/content")
    assert (reply.status, reply.body) == (200, b"")
    different = {"date", "x-request-id"}
    assert reply.headers.keys() - different == got.headers.keys() - different
    assert reply.headers["content-length"] == "10"


async def test_a_deleted_file_is_unknown(client: Client) -> None:
    file = (await upload(client)).json["file"]["id"]
    assert (await client.call("DELETE", f"/files/{file}")).json == {"ok": True}
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert (await client.call(method, f"/files/{file}{path}")).error[:2] == (404, "not_found")


async def test_files_of_a_thread_are_listed_page_by_page(service: Service, client: Client) -> None:
    thread, other = await client.new_thread(), await client.new_thread()
    files = [(await upload(client, name=f"{n}.txt")).json["file"]["id"] for n in range(5)]
    await attach(service.pool, thread, *files)
    listed: list[dict[str, Any]] = []
    after, more = "", True
    while more:
        page = (await client.call("GET", f"/threads/{thread}/files?limit=2{after}")).json
        listed += page["files"]
        after, more = f"&after={page['files'][-1]['id']}", page["truncated"]
    assert [file["id"] for file in listed] == files
    assert {(file["kind"], file["committed"]) for file in listed} == {("attachment", True)}
    assert (await client.call("GET", f"/threads/{other}/files")).json == {"files": [], "truncated": False}


async def test_a_file_is_deleted_from_its_own_thread_only(service: Service, client: Client) -> None:
    thread, other = await client.new_thread(), await client.new_thread()
    file = (await upload(client)).json["file"]["id"]
    await attach(service.pool, thread, file)
    assert (await client.call("DELETE", f"/threads/{other}/files/{file}")).status == 404
    assert (await client.call("DELETE", f"/threads/{thread}/files/{file}")).json == {"ok": True}
    assert (await client.call("GET", f"/threads/{thread}/files")).json["files"] == []


async def test_a_deleted_threads_files_are_unknown_at_once(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    file = (await upload(client)).json["file"]["id"]
    await attach(service.pool, thread, file)
    assert (await client.call("DELETE", f"/threads/{thread}")).json == {"ok": True}
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert (await client.call(method, f"/files/{file}{path}")).status == 404


async def test_another_accounts_file_is_as_unknown_as_a_random_one(client: Client, stranger: Client) -> None:
    file = (await upload(client)).json["file"]["id"]
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        reply = await stranger.call(method, f"/files/{file}{path}")
        assert reply.body == (await stranger.call(method, f"/files/{ids.mint()}{path}")).body
        assert reply.status == 404
    thread = await client.new_thread()
    for method, path in (("GET", ""), ("DELETE", f"/{file}")):
        assert (await stranger.call(method, f"/threads/{thread}/files{path}")).status == 404
    assert (await upload(Client(*_with_agent(stranger, client)))).error[:2] == (403, "forbidden")
    assert (await client.call("GET", f"/files/{file}")).status == 200


def _with_agent(client: Client, other: Client) -> tuple[Any, ...]:
    return client.session, client.url, client.account, client.token_id, client.token, other.agent


async def test_a_service_token_may_read_and_delete_and_not_upload(service: Service, client: Client) -> None:
    async with service.pool.acquire() as db:
        token = await accounts.create_token(db, client.account, TokenKind.SERVICE_TOKEN)
    machine, file = client.using(token.secret.text), (await upload(client, b"x")).json["file"]["id"]
    assert (await upload(machine)).error == (403, "forbidden", "A service token can't upload files.")
    assert (await machine.call("GET", f"/files/{file}/content")).body == b"x"
    assert (await machine.call("DELETE", f"/files/{file}")).json == {"ok": True}


async def test_an_agent_that_takes_no_new_threads_takes_files(service: Service, client: Client) -> None:
    await service.pool.execute("update agents set published = false where id = $1", client.agent)
    assert (await upload(client)).status == 201
    made = await client.call("POST", f"/agents/{client.agent}/threads", {})
    assert made.error[:2] == (409, "agent_not_published")


async def test_an_account_has_no_more_room_than_its_quota(settings: Settings) -> None:
    async with running_service(settings.model_copy(update={"file_quota": 100}), worker=False) as service:
        client, other = await service.client("acme"), await service.client("globex")
        first = await upload(client, bytes(60))
        assert first.status == 201
        refused = await upload(client, bytes(50))
        assert refused.error[:2] == (413, "invalid_request")
        assert "may come to 100 bytes, and come to 60" in refused.error[2]
        assert (await upload(other, bytes(90))).status == 201
        assert (await upload(client, bytes(30))).status == 201
        await client.call("DELETE", f"/files/{first.json['file']['id']}")
        assert (await upload(client, bytes(60))).status == 201


async def test_a_storage_that_is_away_is_told_as_such_and_nothing_is_kept(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("no directory", encoding="utf-8")
    async with running_service(settings.model_copy(update={"files": str(tmp_path / "none")}), worker=False) as service:
        client = await service.client("acme")
        reply = await upload(client)
        assert reply.error[:2] == (503, "service_inactive")
        assert reply.headers["retry-after"] == "5"
        assert await service.pool.fetchval("select count(*) from files") == 0
        assert tuple(await service.pool.fetchrow(rows.SQL["usage"], client.account)) == (0, 0)


async def test_a_file_whose_bytes_are_lost_is_no_answer_that_looks_good(service: Service, client: Client) -> None:
    file = FileId((await upload(client)).json["file"]["id"])
    await open_storage(service.settings.files).remove(file)
    assert (await client.call("GET", f"/files/{file}/content")).error[:2] == (500, "internal_error")
