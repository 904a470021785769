"""Calls to addresses that somebody else wrote down: webhooks, agents' endpoints.

A name is resolved where a connection is opened, every address of it is checked, and the connection goes to one of
those: a name that changes its mind in between changes nothing. Above that everything goes by the name, so TLS asks
for the host's certificate, and a connection is used again for the same host only. No redirects, no proxies. Refused
unless a setting allows them: addresses of private networks, this machine's among them.
"""

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import httpcore2
import httpx2

from shared.endpoints import SCHEMES, check_url

__all__ = ["AddressRefused", "CheckedTransport", "check_url", "client"]

CONNECTIONS = 1_000
KEPT = 100  # open connections that nobody uses
KEPT_FOR = 5.0  # seconds
RESOLVERS = 16  # names looked up at once, in threads of their own: one that hangs must not keep asyncio's busy

_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address behind a gateway of the network
_NOWHERE = (
    ipaddress.IPv6Network("2002::/16"),  # 6to4: an IPv4 address in disguise, whichever it is
    ipaddress.IPv6Network("3fff::/20"),  # for documentation; Python 3.11 does not know it yet
)


class AddressRefused(httpx2.RequestError):
    """The address is of a private network, or of no scheme that is called from here."""


def client(*, private: bool, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    """A client for such addresses; proxies of the environment are left alone, because they would resolve names."""
    return httpx2.AsyncClient(
        transport=CheckedTransport(private=private), timeout=timeout, follow_redirects=False, trust_env=False
    )


class CheckedTransport(httpx2.AsyncHTTPTransport):
    """Connects to addresses that were checked. `private`: those of private networks may be called, too."""

    def __init__(self, *, private: bool) -> None:
        # SSL_CERT_FILE and SSL_CERT_DIR count: private networks have authorities of their own.
        context = _trust(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        super().__init__(verify=context, trust_env=False)
        self._network = _Network(private=private)
        # httpx2 has no argument for it. What it made itself has opened nothing yet.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=CONNECTIONS,
            max_keepalive_connections=KEPT,
            keepalive_expiry=KEPT_FOR,
            network_backend=self._network,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises AddressRefused, and what httpx2 raises."""
        if request.url.scheme not in SCHEMES:
            raise AddressRefused(f"{request.url.scheme}: is not called", request=request)
        return await super().handle_async_request(request)

    async def aclose(self) -> None:
        await super().aclose()
        self._network.close()


class _Network(httpcore2.AsyncNetworkBackend):
    """Opens connections, to addresses that were checked."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._inner = httpcore2.AnyIOBackend()
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """To the first address of the host that answers, all within `timeout`. Raises AddressRefused."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked(host, port)
                each = None if timeout is None else timeout / len(addresses)
                return await self._first(addresses, port, each, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} did not answer in time") from error

    async def _first(
        self,
        addresses: list[str],
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[_SocketOption] | None,
    ) -> httpcore2.AsyncNetworkStream:
        """As most hosts have one address for each version of IP, they are tried one after the other."""
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def _checked(self, host: str, port: int) -> list[str]:
        """The addresses of a name, if all of them may be called."""
        addresses = await self._resolve(host, port)
        if not self._private and not all(map(is_public, addresses)):
            raise AddressRefused(f"{host} is an address of a private network; THREADMILL_PRIVATE_ENDPOINTS allows them")
        return addresses

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._resolvers, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:  # the second: a label that is too long
            raise httpcore2.ConnectError(f"{host} has no address: {error}") from error
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def close(self) -> None:
        self._resolvers.shutdown(wait=False, cancel_futures=True)


@lru_cache(1)
def _trust(file: str | None, directory: str | None) -> ssl.SSLContext:
    """One for all clients: reading the certificates takes 25 ms, in which a loop does nothing else."""
    return httpx2.create_ssl_context()  # reads the two of the environment


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's. IPv4 addresses in IPv6's clothes are judged as what they are."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inner(ip)
        if inner is None:
            return ip.is_global and ip in _GLOBAL_UNICAST and not any(ip in network for network in _NOWHERE)
        ip = inner
    return ip.is_global and not ip.is_multicast


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped
