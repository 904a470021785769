"""Calls to addresses that somebody else wrote down go where they may, to the address that was checked."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import httpcore2
import httpx2
import pytest

from shared.endpoints import check_url
from tests.receiver import Receiver, receiving
from worker.outbound import AddressRefused, client, is_public

PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),  # noqa: S104 - no bind
    *("192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "3fff::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1"),  # IPv4 in IPv6's clothes
    *("64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2001:0:1::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
TIMEOUT = httpx2.Timeout(5)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """A resolver: for each name the answers that it gives, one after the other; the last one stays."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: int, **options: int) -> list[object]:
        if host not in known:
            return list(real(host, port, *args, **options))
        answers = known[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_a_private_network_is_known_as_one(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_known_as_one(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_not_called_by_any_of_its_names(receiver: Receiver, host: str) -> None:
    async with client(private=False, timeout=TIMEOUT) as caller:
        with pytest.raises(AddressRefused, match="private network"):
            await caller.post(f"http://{host}:{receiver.port}/")
    assert receiver.calls == []


async def test_private_addresses_are_called_where_the_setting_allows_them(receiver: Receiver) -> None:
    async with client(private=True, timeout=TIMEOUT) as caller:
        answer = await caller.post(f"http://localhost:{receiver.port}/")
    assert answer.status_code == 200
    assert receiver.calls[0].headers["host"] == f"localhost:{receiver.port}"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]])
async def test_a_name_is_refused_where_any_of_its_addresses_is_private(
    receiver: Receiver, names: dict[str, list[list[str]]], addresses: list[str]
) -> None:
    names["rebound.test"] = [addresses]
    async with client(private=False, timeout=TIMEOUT) as caller:
        with pytest.raises(AddressRefused, match=r"rebound\.test"):
            await caller.post(f"http://rebound.test:{receiver.port}/")
    assert receiver.calls == []


async def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Receiver, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["rebound.test"] = [["8.8.8.8"], ["127.0.0.1"]]  # public when it is checked, this machine ever after
    asked: list[str] = []

    async def connect(_: object, host: str, *rest: object) -> httpcore2.AsyncNetworkStream:
        asked.append(host)
        raise httpcore2.ConnectError("no way out of here")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect)  # nothing leaves this machine
    async with client(private=False, timeout=TIMEOUT) as caller:
        with pytest.raises(httpx2.ConnectError):
            await caller.post(f"http://rebound.test:{receiver.port}/")
    assert asked == ["8.8.8.8"]
    assert names["rebound.test"] == [["127.0.0.1"]]  # it was asked once


async def test_the_next_address_is_tried_where_the_first_does_not_answer(
    receiver: Receiver, names: dict[str, list[list[str]]]
) -> None:
    names["two.test"] = [["127.0.0.9", "127.0.0.1"]]  # nobody listens on the first
    async with client(private=True, timeout=TIMEOUT) as caller:
        assert (await caller.post(f"http://two.test:{receiver.port}/")).status_code == 200


async def test_a_name_without_an_address_is_a_failed_connection(names: dict[str, list[list[str]]]) -> None:
    names["gone.test"] = [[]]
    async with client(private=True, timeout=TIMEOUT) as caller:
        with pytest.raises(httpx2.ConnectError, match=r"gone\.test has no address"):
            await caller.post("http://gone.test/")
        with pytest.raises(httpx2.ConnectError, match="has no address"):
            await caller.post(f"http://{'a' * 64}.test/")  # no name has such a label


async def test_a_redirect_is_an_answer_and_is_not_followed(receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [302], {"location": receiver.url}
    async with client(private=True, timeout=TIMEOUT) as caller:
        assert (await caller.post(receiver.url)).status_code == 302
    assert len(receiver.calls) == 1


async def test_a_proxy_of_the_environment_is_left_alone(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with client(private=True, timeout=TIMEOUT) as caller:
        assert (await caller.post(receiver.url)).status_code == 200


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
async def test_tls_goes_by_the_name_and_a_connection_is_no_other_hosts(
    names: dict[str, list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names["right.test"] = names["other.test"] = [["127.0.0.1"]]
    context = certified(tmp_path, "right.test")
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    async with receiving(context) as receiver, client(private=True, timeout=TIMEOUT) as caller:
        assert (await caller.post(f"https://right.test:{receiver.port}/")).status_code == 200
        with pytest.raises(httpx2.ConnectError, match=r"other\.test"):  # it has the open connection's address
            await caller.post(f"https://other.test:{receiver.port}/")
        assert (await caller.post(f"https://right.test:{receiver.port}/")).status_code == 200
        assert len(receiver.calls) == 2
    assert asked == ["right.test", "other.test"]  # the last call went over the first connection


def certified(directory: Path, name: str) -> ssl.SSLContext:
    """A server's context with a new certificate of this name."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    whose = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    command = ("openssl", "req", *kind, *whose, "-keyout", key, "-out", certificate)
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, hung = asyncio.get_running_loop(), asyncio.Event()
    release = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        loop.call_soon_threadsafe(hung.set)
        release.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    async with client(private=True, timeout=httpx2.Timeout(0.1)) as caller:
        with pytest.raises(httpx2.ConnectTimeout):
            await caller.post("http://slow.test/")
        assert hung.is_set()
    release.set()


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com/", "example.com", "https://", "http:///path", "file:///etc/passwd", "//example.com/"),
        *("https://user:secret@example.com/", "https://user@example.com/", "https://example.com:99999/"),
        *(
            "https://exa mple.com/",
            "https://example.com/\n",
            "https://example.com/#part",
            "https://e.com/" + "a" * 2048,
        ),
    ],
)
def test_what_is_no_url_to_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|is no URL"):
        check_url(url)


@pytest.mark.parametrize("url", ["https://example.com/hook?key=1", "http://10.0.0.1:8080/", "https://[::1]/"])
def test_a_url_is_kept_as_it_was_written(url: str) -> None:
    assert check_url(url) == url
