"""Uploads that are none, and files that lie: each gets a clear 4xx and leaves nothing, or is shown and never run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.service import Client, Reply, Service, running_service, upload
from tests.watch import until

LIMIT = 1 << 20
FORM = "multipart/form-data; boundary=b"
FIELD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
END = b"\r\n--b--\r\n"


def named(disposition: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx" + END


def called(name: bytes) -> bytes:
    return named(b'form-data; name="file"; filename="' + name + b'"')


# What is sent, and what the refusal says of it.
WRONG_NAMES = {
    called(b""): "the file has no name",
    called(b"  "): "the file has no name",
    named(b'form-data; name="file"'): "the file has no name",
    called(b"../../etc/passwd"): "is a path",
    called(b"C:\\\\dir\\\\a.txt"): "is a path",
    called(b".."): "is a path",
    called(b"a\x00.txt"): "do not print",
    called(b"a%0d%0aSet-Cookie: x=y"): "do not print",
    called("a\u202etxt.exe".encode()): "do not print",
    called(b"a" * 10_000): "longer than",
    called(b"a" * 300): "longer than 255 characters",
    named(b"form-data; name=file; filename*=UTF-8''..%2Fa"): "is a path",
}
WRONG_FORMS = {
    b"": "ends before its last boundary",
    b"no form at all, and long enough": "does not begin with the boundary",
    b"--b--\r\n": "file: the field is missing",
    b"--b\r\n\r\nx" + END: "has no name",
    named(b"attachment; filename=x"): "has no name",
    named(b'form-data; name="file'): "has no name",
    named(b'form-data; name="other"; filename="a.txt"'): "another field than `file`",
    FIELD + b"\r\nx\r\n" + FIELD + b"\r\ny" + END: "second field",
    FIELD + b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--" + END: "form within the form",
    FIELD + b"Content-Transfer-Encoding: base64\r\n\r\neA==" + END: "Content-Transfer-Encoding",
    FIELD + b"X: " + b"y" * 20_000 + b"\r\n\r\nx" + END: "longer than 8192 bytes",
    FIELD + b"X: y\r\n" * 50_000: "longer than 8192 bytes",
    FIELD + b"no field\r\n\r\nx" + END: "headers of a field are broken",
    FIELD + b"X: \xff\r\n\r\nx" + END: "not UTF-8",
    FIELD + b"\r\nhalf of it": "ends before its last boundary",
    FIELD + b"\r\nx" + END + b"y" * 10_000: "behind the last boundary",
    b"--bad\r\n\r\nx" + END: "does not end with its line",
}
WRONG_TYPES = {
    "multipart/form-data": "boundary is missing",
    'multipart/form-data; boundary=""': "boundary is missing",
    f"multipart/form-data; boundary={'b' * 71}": "boundary is missing",
    "multipart/form-data; boundary=a\u00e9": "boundary is missing",
}


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with running_service(settings.model_copy(update={"file_limit": LIMIT}), worker=False) as service:
        yield service


async def post(client: Client, body: bytes, type_: str = FORM) -> Reply:
    return await client.call("POST", f"/agents/{client.agent}/files", body, Content_Type=type_)


async def nothing_is_kept(service: Service) -> None:
    """No row and no bytes; what was begun is on its way out, or was never written."""
    rows = "select (select count(*) from files) + (select coalesce(sum(bytes), 0) from file_usage)"
    await until(lambda: _is_zero(service, rows), 5)
    assert list(_stored(Path(service.settings.files))) == []


async def _is_zero(service: Service, question: str) -> bool:
    return bool(await service.pool.fetchval(question) == 0)


def _stored(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("wrong", [WRONG_NAMES, WRONG_FORMS], ids=["names", "forms"])
async def test_what_is_no_upload_is_refused_in_clear_words(
    service: Service, client: Client, wrong: dict[bytes, str]
) -> None:
    for body, says in wrong.items():
        reply = await post(client, body)
        assert reply.status == 400, (body[:200], reply)
        status, code, message = reply.error
        assert (status, code) == (400, "invalid_request"), body[:200]
        assert says in message, body[:200]
    await nothing_is_kept(service)


async def test_what_is_no_form_with_a_boundary_is_refused(client: Client) -> None:
    for type_, says in WRONG_TYPES.items():
        reply = await post(client, FIELD, type_)
        assert reply.error[0] == 400
        assert says in reply.error[2]
    assert (await post(client, b"{}", "application/json")).error[0] == 415
    assert (await upload(client, Content_Encoding="gzip")).error[0] == 415


async def test_a_file_of_the_limit_is_kept_and_one_byte_more_is_not(service: Service, client: Client) -> None:
    refused = await upload(client, bytes(LIMIT + 1))
    assert refused.error == (413, "invalid_request", f"file: the file is over the limit of {LIMIT} bytes.")
    await nothing_is_kept(service)
    assert (await upload(client, bytes(LIMIT))).status == 201


async def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(service: Service, client: Client) -> None:
    reply = await raw(client, b"", length=1 << 40)
    assert reply.startswith(b"HTTP/1.1 413 ")
    await nothing_is_kept(service)


async def test_a_body_of_unknown_length_is_refused_where_it_gets_too_long(service: Service, client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield FIELD + b"\r\n"
        while True:
            yield bytes(64 << 10)

    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": FORM}
    url = f"{client.url}/api/v1/agents/{client.agent}/files"
    async with client.session.post(url, data=endless(), headers=headers) as response:
        assert response.status == 413
    await nothing_is_kept(service)


async def test_a_client_that_leaves_half_way_leaves_nothing(service: Service, client: Client) -> None:
    async with connected(client, FIELD + b"\r\n" + bytes(300_000), length=500_000):
        await until(lambda: _is_zero(service, "select 1 - count(*) from files"), 5)
    await nothing_is_kept(service)


async def test_a_body_that_stops_half_way_is_given_up_in_time(settings: Settings) -> None:
    hasty = settings.model_copy(update={"body_timeout": 0.2})
    async with running_service(hasty, worker=False) as service:
        client = await service.client("acme")
        reply = await raw(client, FIELD + b"\r\nhalf", length=100_000)
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"No more of the body arrived within 0.2 s." in reply
        await nothing_is_kept(service)


async def test_a_length_that_is_less_than_what_comes_is_not_a_longer_file(service: Service, client: Client) -> None:
    whole = FIELD + b"\r\n" + bytes(1000) + END
    reply = await raw(client, whole, length=len(whole) - 500)
    assert reply.split(b" ")[1] == b"400"
    await nothing_is_kept(service)


async def raw(client: Client, body: bytes, *, length: int) -> bytes:
    """The answer to an upload that is written by hand."""
    async with connected(client, body, length=length) as reader, asyncio.timeout(5):
        return await reader.read(65536)


@asynccontextmanager
async def connected(client: Client, body: bytes, *, length: int) -> AsyncIterator[asyncio.StreamReader]:
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /api/v1/agents/{client.agent}/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n"
        f"Content-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("type_", "shown", "disposition"),
    [
        ("text/html", "text/plain; charset=utf-8", "inline"),
        ("application/json", "text/plain; charset=utf-8", "inline"),
        ("text/javascript", "text/plain; charset=utf-8", "inline"),
        ("image/png", "image/png", "inline"),  # where it lies, `nosniff` keeps it a broken image
        ("image/svg+xml", "image/svg+xml", "attachment"),
        ("application/xhtml+xml", "application/xhtml+xml", "attachment"),
        ("application/pdf", "application/pdf", "attachment"),
        ("text/html\u00e9", "application/octet-stream", "attachment"),
        ("no type", "application/octet-stream", "attachment"),
    ],
)
async def test_nothing_that_is_opened_in_place_can_act(
    client: Client, type_: str, shown: str, disposition: str
) -> None:
    file = (await upload(client, b"<script>alert(1)</script>", "a.html", type_)).json["file"]["id"]
    reply = await client.call("GET", f"/files/{file}/content?disposition=inline")
    assert reply.headers["content-type"] == shown
    assert reply.headers["content-disposition"].startswith(f"{disposition}; ")
    assert reply.headers["content-security-policy"] == "sandbox; default-src 'none'; frame-ancestors 'none'"
    assert reply.headers["x-content-type-options"] == "nosniff"
    saved = await client.call("GET", f"/files/{file}/content")
    assert saved.headers["content-disposition"].startswith("attachment; ")
    assert (await client.call("GET", f"/files/{file}/content?disposition=run")).error[0] == 400


async def test_ids_that_are_none_are_refused_by_name(client: Client) -> None:
    for path in ("/files/x", "/files/x/content", "/files/file_01KQX0V62MEXAMPLE7W6X3B2A"):
        assert (await client.call("GET", path)).error[:2] == (400, "invalid_request")


async def test_uploads_take_of_the_rate_and_are_refused_before_their_body(settings: Settings) -> None:
    few = settings.model_copy(update={"token_rate": 0.001, "token_burst": 1})
    async with running_service(few, worker=False) as service:
        client = await service.client("acme")
        assert (await upload(client)).status == 201
        reply = await raw(client, b"", length=1000)
        assert reply.startswith(b"HTTP/1.1 429 ")
