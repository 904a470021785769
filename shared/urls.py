"""URLs of servers: how one that can't be right is refused, and how a server is named, without a word of its password.

A password whose `@ / # ? : %` nobody escaped ends up as a host, a port, a path or an option. So what is refused here is
never quoted, and neither is an error of whoever tried to read it.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

ESCAPE = "`/`, `?`, `#` and `@` of a user or a password must be percent-encoded"
_URL = re.compile(r"[^:/?#]*://(?P<netloc>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:]*)(?::(?P<port>[^:]*))?")


@dataclass(frozen=True, slots=True)
class Parts:
    login: str
    hosts: tuple[str, ...]
    path: str
    query: str

    @property
    def is_plain(self) -> bool:
        """Whether no option is a piece of a password: an `@` behind it would have stood before the hosts."""
        return "@" not in self.query


def split(url: str) -> Parts:
    """Raises ValueError where there is an `@` or a `#` behind the hosts."""
    found = _URL.fullmatch(url)
    if found is None or "@" in found["path"] or found["fragment"]:
        raise ValueError(f"it has an `@` or a `#` where none belongs: {ESCAPE}")
    login, _, hosts = found["netloc"].rpartition("@")
    return Parts(login, tuple(hosts.split(",")), found["path"], found["query"] or "")


def check(url: str) -> None:
    """Raises ValueError where hosts, ports or options of a URL can't be read."""
    parts = split(url)
    for host in parts.hosts:
        address(host, 0)
    try:
        parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError(f"its options can't be read: {ESCAPE}") from None


def address(text: str, port: int) -> tuple[str, int]:
    """Of `host`, `host:port`, `[::1]:port`; with that `port` where it names none. Raises ValueError."""
    found = _HOST.fullmatch(text)
    if found is None or (found["port"] and not is_port(found["port"])):
        raise ValueError(f"it must name host:port, the port a number from 1 to 65535; {ESCAPE}")
    return unquote(found["host"].removeprefix("[").removesuffix("]")), int(found["port"] or port)


def place(url: str) -> str:
    """Where a server is: `host:port`, several of them with commas; empty where that may be a piece of a password."""
    try:
        check(url)
        parts = split(url)
    except ValueError:
        return ""
    if not parts.is_plain:
        return ""
    hosts = ",".join(parts.hosts).replace("[", "").replace("]", "") or "localhost"
    return hosts if ":" in hosts else f"{hosts}:default port"


def is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 1 << 16
