"""Calls to addresses that somebody else wrote down: webhooks, agents' endpoints.

The scheme is checked, then every address that the name resolves to, and the connection goes to the one that was
checked: a name that changes its mind in between changes nothing. No redirects. Refused unless a setting allows them:
addresses of private networks, this machine's among them.
"""

import asyncio
import ipaddress
import socket
import ssl
from functools import cache
from urllib.parse import urlsplit

import httpx2

_SCHEMES = {"http": 80, "https": 443}


class AddressRefused(httpx2.RequestError):
    """The address is of a private network, or of no scheme that is called from here."""


def check_url(url: str) -> str:
    """The URL, if it is one that may be called as far as its text tells. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and name a host")
    if parts.username or parts.password:
        raise ValueError("must not hold a password")
    _ = parts.port  # raises ValueError where it is none
    return url


def client(*, private: bool, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    """A client for such addresses; proxies of the environment are left alone, because they would resolve names."""
    return httpx2.AsyncClient(
        transport=CheckedTransport(private=private), timeout=timeout, follow_redirects=False, trust_env=False
    )


class CheckedTransport(httpx2.AsyncHTTPTransport):
    """Connects to addresses that were checked. `private`: those of private networks may be called, too."""

    def __init__(self, *, private: bool) -> None:
        super().__init__(
            verify=_trust(), trust_env=False, limits=httpx2.Limits(max_connections=1_000, max_keepalive_connections=100)
        )
        self._private = private

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises AddressRefused, and what httpx2 raises."""
        host, scheme = request.url.host, request.url.scheme
        if scheme not in _SCHEMES:
            raise AddressRefused(f"{scheme}: is not called", request=request)
        address = await self._checked(host, request.url.port or _SCHEMES[scheme], request)
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=address)  # the Host header has its name already
        return await super().handle_async_request(request)

    async def _checked(self, host: str, port: int, request: httpx2.Request) -> str:
        """The first address of a name, if all of them may be called."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpx2.ConnectError(f"{host} has no address: {error}", request=request) from error
        addresses = [str(entry[4][0]) for entry in found]
        if not self._private:
            for address in addresses:
                if not _is_public(address):
                    raise AddressRefused(
                        f"{host} is an address of a private network; THREADMILL_PRIVATE_ENDPOINTS allows them",
                        request=request,
                    )
        return addresses[0]


@cache
def _trust() -> ssl.SSLContext:
    """One for all clients: reading the certificates takes 25 ms, in which a loop does nothing else."""
    return httpx2.create_ssl_context(trust_env=False)


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip.is_global and not ip.is_multicast
