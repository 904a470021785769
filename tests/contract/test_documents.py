"""What describes the service, served: the documents, the page and its style; without a token, and only once."""

import gzip

import pytest
from yarl import URL

from api.dialects import openapi
from api.dialects.operations import Dialect
from api.reference.files import DIALECTS, reference
from api.reference.page import STYLESHEET
from tests.service import Reply, Service

FILES = [*DIALECTS, "/docs", STYLESHEET]


async def ask(service: Service, path: str, method: str = "GET", **headers: str) -> Reply:
    """With what a browser sends and nothing more."""
    fields = {"Accept-Encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with service.session.request(
        method, URL(f"{service.url}{path}"), headers=fields, auto_decompress=False
    ) as found:
        return Reply(found.status, await found.read(), {name.lower(): value for name, value in found.headers.items()})


@pytest.mark.parametrize(("path", "dialect"), DIALECTS.items(), ids=lambda value: getattr(value, "name", None))
async def test_a_document_is_served_without_a_token(service: Service, path: str, dialect: Dialect) -> None:
    reply = await ask(service, path)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert reply.json == openapi.document(dialect)
    assert (await ask(service, path, "POST")).status == 405


async def test_the_page_is_served_with_its_style_and_may_run_nothing(service: Service) -> None:
    page, style = await ask(service, "/docs"), await ask(service, STYLESHEET)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.body == reference()
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; ")
    assert "script" not in page.headers["content-security-policy"]
    assert (style.status, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert b"prefers-color-scheme" in style.body or b"light-dark(" in style.body


@pytest.mark.parametrize("path", FILES)
async def test_who_has_it_is_told_so_and_sent_nothing(service: Service, path: str) -> None:
    first = await ask(service, path)
    tag = first.headers["etag"]
    assert "max-age=" in first.headers["cache-control"]
    assert first.headers["x-content-type-options"] == "nosniff"
    for given in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await ask(service, path, If_None_Match=given)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    for given in ('"other"', tag[:-2] + '"', "nonsense"):
        assert (await ask(service, path, If_None_Match=given)).body == first.body


@pytest.mark.parametrize("path", FILES)
async def test_a_head_tells_what_a_get_would_send(service: Service, path: str) -> None:
    get, head = await ask(service, path), await ask(service, path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(get.body)
    kept = ("etag", "content-type", "cache-control", "vary")
    assert {name: head.headers[name] for name in kept} == {name: get.headers[name] for name in kept}


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, deflate, br", True), ("GZIP", True), ("gzip;q=0", False), ("br", False), ("*;q=0.1", False)],
)
async def test_it_is_compressed_for_those_who_take_that(service: Service, accepted: str, packed: bool) -> None:
    plain, reply = await ask(service, "/docs"), await ask(service, "/docs", Accept_Encoding=accepted)
    assert reply.headers["vary"] == "Accept-Encoding"
    assert reply.headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(reply.body) if packed else reply.body) == plain.body
    assert (len(reply.body) < len(plain.body) / 5) == packed
