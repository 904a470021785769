"""What `REDIS_URL` may say: servers or sentinels, and options of redis-py's connections.

redis-py hands on whatever stands behind the `?`: an option, or a value, that a connection does not take would end the
process that opens one. So each is refused here, by its name, where the URL is read; no value is quoted.
"""

import math
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode

from arq.connections import RedisSettings
from redis.asyncio.connection import parse_url

from shared.urls import ESCAPE, Parts, address, check, split

SENTINELS = ("redis+sentinel://", "rediss+sentinel://")  # the second: TLS to Redis and to the sentinels
SCHEMES = ("redis://", "rediss://", "unix://", *SENTINELS)
PORT = 26379

_ARQS = ("ssl_keyfile", "ssl_certfile", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_data", "ssl_check_hostname")

Address: TypeAlias = tuple[str, int]
Options: TypeAlias = Mapping[str, Any]  # of redis-py's connections


@dataclass(frozen=True, slots=True)
class Led:
    """What a URL with sentinels says."""

    places: tuple[Address, ...]
    name: str
    secure: bool
    own: Options  # for connections to the sentinels
    options: Options  # for connections to the master


def is_sentinel(url: str) -> bool:
    return url.startswith(SENTINELS)


def check_redis(url: str) -> None:
    """Raises ValueError where a URL is none of ours."""
    if is_sentinel(url):
        led_of(url)
    else:
        options_of(url)


def options_of(url: str) -> dict[str, Any]:
    """Of `redis://`, `rediss://` and `unix://`, as redis-py reads them. Raises ValueError."""
    if url.startswith("unix://"):
        path, _, query = url.removeprefix("unix://").partition("?")
        parts = Parts("", (), path, query)
    else:
        check(url)
        parts = split(url)
        if len(parts.hosts) > 1:
            raise ValueError("it names several hosts: that is for redis+sentinel:// alone")
        if (db := unquote(parts.path).strip("/")) and not _is_whole(db):
            raise ValueError("its database is no number")
    _check_options(parts, _allowed(url))
    try:
        known: dict[str, Any] = dict(parse_url(url))
    except ValueError:
        raise ValueError(f"it can't be read: {ESCAPE}") from None
    return {key: value for key, value in known.items() if key != "connection_class"}


def led_of(url: str) -> Led:
    """What a URL with sentinels says. Raises ValueError."""
    parts = split(url)
    name, _, db = parts.path.removeprefix("/").partition("/")
    if not name:
        raise ValueError("it names no master: redis+sentinel://host:26379,host:26379/mymaster/0")
    if db and not _is_whole(db):
        raise ValueError("its database is no number")
    places = tuple(_place(host) for host in parts.hosts)
    secure = url.startswith("rediss")
    allowed = _allowed("rediss://" if secure else "redis://")
    _check_options(parts, {**allowed, "sentinel_username": _is_any, "sentinel_password": _is_any})
    given = dict(parse_qsl(parts.query))
    own: dict[str, Any] = {
        name.removeprefix("sentinel_"): given.pop(name) for name in list(given) if name.startswith("sentinel_")
    }
    login = f"{parts.login}@" if parts.login else ""
    options = options_of(f"redis{'s' if secure else ''}://{login}localhost/{db or 0}?{urlencode(given)}".rstrip("?"))
    options = {key: value for key, value in options.items() if key not in {"host", "port"}}
    own |= {key: value for key, value in options.items() if key.startswith("ssl_")}
    return Led(places, unquote(name), secure, {**own, "socket_connect_timeout": 1, "socket_timeout": 1}, options)


def arq_settings(url: str) -> RedisSettings:
    """The same address for arq's own command, with its user and its TLS; arq knows nothing of sentinels' passwords, and
    hands no TLS options on to them. Raises ValueError.
    """
    led = led_of(url) if is_sentinel(url) else None
    options = options_of(url) if led is None else led.options
    settings = RedisSettings(
        database=options.get("db", 0),
        username=options.get("username"),
        password=options.get("password"),
        ssl=url.startswith("rediss"),
        **{name: options[name] for name in _ARQS if name in options},
    )
    if led is not None:
        return replace(settings, host=list(led.places), sentinel=True, sentinel_master=led.name)
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return replace(settings, host=host, port=port, unix_socket_path=options.get("path"))


def _place(text: str) -> Address:
    try:
        host, port = address(text, PORT)
    except ValueError:
        host, port = "", 0
    if not host:
        raise ValueError(f"it has what is no address of a sentinel: host:26379,host:26379; {ESCAPE}")
    return host, port


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _is_seconds(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _is_any(_: str) -> bool:
    return True


def _are_ciphers(text: str) -> bool:
    try:
        ssl.create_default_context().set_ciphers(text)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _is_authority(text: str) -> bool:
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError, TypeError):
        return False
    return True


_TCP: Mapping[str, Callable[[str], bool]] = {"socket_keepalive": _is_any}
_TLS: Mapping[str, Callable[[str], bool]] = {
    "ssl_ca_certs": _is_any,
    "ssl_ca_data": _is_authority,
    "ssl_cert_reqs": ("none", "optional", "required").__contains__,
    "ssl_certfile": _is_any,
    "ssl_check_hostname": _is_any,
    "ssl_ciphers": _are_ciphers,
    "ssl_keyfile": _is_any,
}
_OPTIONS: Mapping[str, Callable[[str], bool]] = {
    "client_name": _is_any,
    "db": _is_whole,
    "health_check_interval": _is_whole,
    "max_connections": _is_whole,
    "password": _is_any,
    "protocol": "2".__eq__,  # the third one's answers have other types
    "retry_on_timeout": _is_any,
    "socket_connect_timeout": _is_seconds,
    "socket_timeout": _is_seconds,
    "username": _is_any,
}


def _allowed(url: str) -> Mapping[str, Callable[[str], bool]]:
    """Option -> whether it takes a value."""
    if url.startswith("unix://"):
        return _OPTIONS
    return {**_OPTIONS, **_TCP, **(_TLS if url.startswith("rediss://") else {})}


def _check_options(parts: Parts, allowed: Mapping[str, Callable[[str], bool]]) -> None:
    """Raises ValueError, which names the option, but for what may be a piece of a password."""
    given = parse_qsl(parts.query, keep_blank_values=True)
    for name, value in given:
        if name in _TLS and name not in allowed:
            raise ValueError(f"its option {name} is for rediss:// and rediss+sentinel:// alone")
        if name not in allowed:
            raise ValueError(f"there is no option {name}" if parts.is_plain else f"it has an unknown option: {ESCAPE}")
        if value and not allowed[name](value):
            raise ValueError(f"its option {name} takes no such value")
    values = dict(given)
    if values.get("ssl_cert_reqs") == "none" and values.get("ssl_check_hostname", "no").lower() not in _FALSE:
        raise ValueError("its option ssl_check_hostname needs certificates, and ssl_cert_reqs is none")


_FALSE = ("", "0", "f", "false", "n", "no")  # as redis-py reads them
