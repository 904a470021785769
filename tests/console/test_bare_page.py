"""What is no HTTP at all is told with a page under `/console`, and in the API's own words elsewhere."""

import asyncio

import pytest
from yarl import URL

from tests.console.staff import Staff


@pytest.mark.parametrize(
    ("target", "html"),
    [
        (b"/console/\xff<b>", True),
        (b"/console?live=\xff", True),
        (b"/console/queue?\xff=1", True),
        (b"/consoles/\xff", False),
        (b"/api/v1/\xff", False),
    ],
)
async def test_bytes_that_no_address_has_are_answered_as_what_is_asked_for_would_be(
    staff: Staff, target: bytes, html: bool
) -> None:
    place = URL(staff.service.url)
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: here\r\n\r\n")
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.split(b" ", 2)[1] == b"400"
    assert (b"Content-Type: text/html" in head, b"Content-Security-Policy" in head) == (html, html)
    assert (b"To the overview" in body, b'"error"' in body) == (html, not html)
    assert b"<b>" not in body
