"""What a sentinel says, and how: late, refusing, or as none does."""

from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from shared import sentinel as sentinels
from shared.logs import Seldom
from shared.queue import open_redis
from shared.redis_urls import Address
from shared.sentinel import NoMasterError
from tests.sentinel_server import place_of, sentinel, url_of


@pytest.fixture
def place(redis_url: str) -> Address:
    return place_of(redis_url)


async def test_without_a_master_it_says_what_each_sentinel_said(redis_url: str) -> None:
    async with sentinel(None) as ignorant, sentinel(None, password="secret") as closed:
        client = open_redis(url_of(redis_url, [ignorant, closed]), 1)
        with pytest.raises(NoMasterError, match=r"knows no 'mymaster'; 127\.0\.0\.1:\d+: Authentication required"):
            await client.ping()
        await client.aclose()


WHERE, STATE = "GET-MASTER-ADDR-BY-NAME", "MASTER"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (STATE, b"*2\r\n$5\r\nflags\r\n$6\r\nmaster\r\n"),
        (STATE, b"*1\r\n$5\r\nflags\r\n"),
        (STATE, b"*2\r\n*0\r\n$1\r\nx\r\n"),
        (STATE, b":7\r\n"),
        (STATE, b"$-1\r\n"),
        (STATE, b"-ERR unknown command `AUTH`, with args beginning with: `guard`\r\n"),
        (WHERE, b":7\r\n"),
        (WHERE, b"+guard\r\n"),
        (WHERE, b"*1\r\n$1\r\nh\r\n"),
        (WHERE, b"*2\r\n:1\r\n:2\r\n"),
        (WHERE, b"*2\r\n$2\r\n\xff\xff\r\n$1\r\n1\r\n"),
        (WHERE, b"*2\r\n$1\r\nh\r\n$5\r\n99999\r\n"),
        (WHERE, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
)
async def test_one_that_answers_as_no_sentinel_does_is_as_good_as_away(
    redis_url: str, place: Address, question: str, answer: bytes
) -> None:
    async with (
        sentinel(place, odd={question: answer}, epoch=9, password="guard") as odd,
        sentinel(place, password="guard") as well,
    ):
        client = open_redis(url_of(redis_url, [odd, well], "?sentinel_password=guard"), 1)
        assert await client.ping()
        await client.aclose()
        client = open_redis(url_of(redis_url, [odd], "?sentinel_password=guard"), 1)
        with pytest.raises(NoMasterError, match=f"127.0.0.1:{odd.port}: ") as told:
            await client.ping()
        assert "guard" not in str(told.value)
        await client.aclose()


async def test_one_that_answers_as_no_sentinel_does_is_logged_with_its_place(
    redis_url: str, place: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentinels, "warn", Seldom(sentinels.log, 0.0))
    async with sentinel(place, odd={WHERE: b":7\r\n"}) as odd, sentinel(place) as well:
        client = open_redis(url_of(redis_url, [odd, well]), 1)
        with capture_logs() as lines:
            assert await client.ping()
        await client.aclose()
    (line,) = lines
    assert (line["event"], line["sentinel"]) == ("a sentinel says what is no answer", f"127.0.0.1:{odd.port}")
    assert str(urlsplit(redis_url).password) not in str(line)


@pytest.mark.parametrize("login", ["?sentinel_password=secret", "?sentinel_username=u&sentinel_password=secret", ""])
async def test_one_that_is_far_off_is_heard(redis_url: str, place: Address, login: str) -> None:
    async with sentinel(place, password="secret" if login else "", late=0.3) as far:
        client = open_redis(url_of(redis_url, [far], login), 1)
        assert await client.ping()
        assert far.asked == 2 + bool(login), "AUTH, where the master is, and how"
        await client.aclose()


async def test_a_wrong_password_is_told_as_what_it_is(redis_url: str, place: Address) -> None:
    async with sentinel(place, password="secret") as closed:
        client = open_redis(url_of(redis_url, [closed], "?sentinel_password=guard"), 1)
        with pytest.raises(NoMasterError, match=r"127\.0\.0\.1:\d+: (WRONGPASS )?no"):
            await client.ping()
        await client.aclose()


async def test_a_password_that_a_server_quotes_in_part_is_not_told(redis_url: str, place: Address) -> None:
    """Redis cuts short what it quotes of a command that it does not know."""
    password = "guard" * 40
    said = f"-ERR unknown command 'AUTH', with args beginning with: '{password[:118]}' \r\n".encode()
    async with sentinel(place, odd={"AUTH": said}) as odd:
        client = open_redis(url_of(redis_url, [odd], f"?sentinel_password={password}"), 1)
        with pytest.raises(NoMasterError, match="unknown command 'AUTH'") as told:
            await client.ping()
        assert "guard" not in str(told.value)
        await client.aclose()
