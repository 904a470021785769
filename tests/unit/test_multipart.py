"""A form is read the same however its bytes come, and files share one pace."""

import asyncio

import pytest
from aiohttp.test_utils import make_mocked_request

from api.multipart import Form, Head
from shared.files.pace import Pace

DATA = b"--b\r\n\r\n--\r\n-b\r\n--c--\r\n" * 20  # everything that could be a boundary, and is none
BODY = (
    b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
    + DATA
    + b"\r\n--bound--\r\n"
)


class Drip:
    """A body that comes in pieces of `size` bytes."""

    def __init__(self, body: bytes, size: int) -> None:
        self._pieces = iter([body[at : at + size] for at in range(0, len(body), size)])

    async def readany(self) -> bytes:
        return next(self._pieces, b"")


def form_of(body: bytes, size: int, length: int | None) -> Form:
    """A form whose body comes in pieces of so many bytes."""
    headers = {"Content-Type": "multipart/form-data; boundary=bound"}
    if length is not None:
        headers["Content-Length"] = str(length)
    return Form(make_mocked_request("POST", "/", headers, payload=Drip(body, size)), 1 << 20, 1.0)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 9, 10, 64, 1000, 10_000])
async def test_a_form_is_read_the_same_in_pieces_of_every_size(size: int) -> None:
    form = form_of(BODY, size, len(BODY))
    assert await form.head() == Head("a.txt", "text/plain")
    assert len(DATA) <= form.most <= len(DATA) + 2  # the line's end behind the last boundary may be left out
    assert b"".join([piece async for piece in form.pieces()]) == DATA


async def test_a_form_of_unknown_length_may_come_to_the_limit() -> None:
    form = form_of(BODY, 100, None)
    await form.head()
    assert form.most == 1 << 20


async def test_transfers_share_one_pace() -> None:
    pace = Pace(100_000.0)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(pace.turn(1_000) for _ in range(6)))  # the last one begins behind five others
    assert asyncio.get_running_loop().time() - began >= 0.05
