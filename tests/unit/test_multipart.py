"""A form is read the same however its bytes come, and files share one pace."""

import asyncio

import pytest
from aiohttp.streams import EmptyStreamReader
from aiohttp.test_utils import make_mocked_request

from api.multipart import Form, Head
from shared.errors import InvalidRequest
from shared.files.pace import Pace

DATA = b"--b\r\n\r\n--\r\n-b\r\n--c--\r\n" * 20  # everything that could be a boundary, and is none
BODY = (
    b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
    + DATA
    + b"\r\n--bound--\r\n"
)


class Drip(EmptyStreamReader):
    """A body that comes in pieces of `size` bytes, each after `pause` seconds."""

    def __init__(self, body: bytes, size: int, pause: float) -> None:
        super().__init__()
        self._pieces = iter([body[at : at + size] for at in range(0, len(body), size)])
        self._pause = pause

    async def readany(self) -> bytes:
        if self._pause:
            await asyncio.sleep(self._pause)
        return next(self._pieces, b"")


def form_of(body: bytes, size: int, length: int | None, pause: float = 0.0, patience: float = 1.0) -> Form:
    """A form whose body comes in pieces of so many bytes."""
    headers = {"Content-Type": "multipart/form-data; boundary=bound"}
    if length is not None:
        headers["Content-Length"] = str(length)
    return Form(make_mocked_request("POST", "/", headers, payload=Drip(body, size, pause)), 1 << 20, patience)


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


async def test_what_stands_before_a_file_takes_no_longer_than_a_piece_however_it_is_dripped() -> None:
    form = form_of(BODY, 1, len(BODY), pause=0.01, patience=0.1)
    with pytest.raises(InvalidRequest, match="did not arrive within"):
        await form.head()


async def test_transfers_share_one_pace() -> None:
    pace = Pace(100_000.0)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(pace.turn(1_000) for _ in range(6)))  # the last one begins behind five others
    assert asyncio.get_running_loop().time() - began >= 0.05
