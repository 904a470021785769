"""The way to Postgres that a URL names: one server, or several of which one is the primary; straight, or by a pooler.

`?pgbouncer=true` says that a pooler in transaction mode is in between. Then a session is nobody's own: what one sets
another finds set, so nothing is set, and no statement is prepared by name. Several hosts are tried side by side,
because one whose machine is gone says nothing for as long as it is asked. Refused here: a standby.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

import asyncpg

from shared.tasks import end
from shared.urls import address

POOLER = "pgbouncer"  # the parameter's name is the one that others use
HEAD_START = 0.2  # seconds until the next host is tried beside one that has not answered
PORT = 5432
_UNTOLD = "unsupported startup parameter"  # what PgBouncer says to who wants settings of a session
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

Address: TypeAlias = tuple[str, int]

_serving: dict[str, Address] = {}  # the host of each URL that took the last connection: it is tried first


class Misconfigured(ConnectionRefusedError):
    """What DATABASE_URL asks for can't be done here: the message says what. No start goes on without it; to who runs
    already, and was connected before, it is an outage as any other: a file that is exchanged is missing for a moment.
    """


class Pooled(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A connection to a pooler. Its session is whose turn it is."""


@dataclass(frozen=True, slots=True)
class Way:
    url: str  # without what is ours
    pooled: bool
    hosts: Sequence[Address]  # none: there is one, and asyncpg reads it


@lru_cache(maxsize=64)
def way_of(url: str) -> Way:
    """Raises ValueError where it names no address."""
    rest, _, query = url.partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    values = [value for name, value in given if name == POOLER]
    if not {*values} <= {"true", "false"}:
        raise ValueError(f"{POOLER} is true or false")
    pooled = values[-1:] == ["true"]
    kept = [(name, value) for name, value in given if name != POOLER]
    hosts = _hosts(rest, dict(kept))
    if len(hosts) < 2:
        return Way(f"{rest}{'?' if kept else ''}{urlencode(kept)}" if values else url, pooled, ())
    if "target_session_attrs" not in dict(kept):
        kept.append(("target_session_attrs", "read-write"))
    return Way(f"{rest}?{urlencode(kept)}", pooled, hosts)


def check(url: str) -> None:
    """Raises ValueError where it names no address, without a word of it."""
    try:
        way_of(url)
    except ValueError as error:
        told = str(error)
        raise ValueError(told if told.startswith(POOLER) else "its hosts and ports can't be read") from None


def _hosts(rest: str, query: dict[str, str]) -> Sequence[Address]:
    """`host[:port][,host[:port]…]` before the path, or `host=` and `port=` of the query."""
    netloc = rest.partition("://")[2].partition("/")[0].rpartition("@")[2]
    if netloc:
        return [address(one, PORT) for one in netloc.split(",")]
    hosts, ports = query.get("host", "").split(","), query.get("port", str(PORT)).split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [(host, int(port or PORT)) for host, port in zip(hosts, ports, strict=True)]


async def open_connection(url: str, timeout: float, settings: dict[str, str], **options: Any) -> asyncpg.Connection:
    """A connection, within `timeout` seconds; to the primary, where there are several hosts. `settings` of the session
    are left out where it is not ours. Raises what asyncpg raises, OSError (TimeoutError and Misconfigured are some).
    """
    try:
        return await _open(way_of(url), url, timeout, settings, options)
    except FileNotFoundError as error:  # a socket that is not there yet, or a file that is named
        if missing := _missing_files(url):
            raise Misconfigured(f"DATABASE_URL: there is no file {missing}") from error
        raise
    except OSError as error:
        if isinstance(error, ValueError):  # SSLCertVerificationError is both: it is no value of anybody's batch
            raise ConnectionRefusedError(_reason(url, error)) from error
        raise
    except asyncpg.PostgresError as error:
        if _UNTOLD in str(error):
            raise Misconfigured(f"DATABASE_URL: a pooler is in between, say so with {POOLER}=true ({error})") from error
        raise
    except ValueError as error:  # asyncpg's ClientConfigurationError is one, and one of its InterfaceErrors as well
        raise Misconfigured(f"DATABASE_URL: {_reason(url, error)}") from error


async def _open(
    way: Way, url: str, timeout: float, settings: dict[str, str], options: dict[str, Any]
) -> asyncpg.Connection:
    if way.pooled:
        settings = {name: value for name, value in settings.items() if name == "application_name"}
        options |= {"statement_cache_size": 0, "connection_class": Pooled}
    options["server_settings"] = settings
    if not way.hosts:
        return await asyncpg.connect(way.url, timeout=timeout, **options)
    first = _serving.get(url)
    hosts = sorted(way.hosts, key=lambda host: host != first)  # the others stay in their order

    async def attempt(host: Address) -> asyncpg.Connection:
        return await asyncpg.connect(way.url, host=host[0], port=host[1], timeout=timeout, **options)

    connection, _serving[url] = await _first(hosts, attempt, timeout)
    return connection


def _asked(url: str) -> dict[str, str]:
    """What the URL says of TLS."""
    return {name: value for name, value in parse_qsl(url.partition("?")[2]) if name.startswith("ssl")}


def _missing_files(url: str) -> str:
    """Those that it names and nobody finds."""
    named = {name: value for name, value in _asked(url).items() if name in _FILES}
    return ", ".join(f"{name}={value}" for name, value in named.items() if not Path(value).exists())


def _reason(url: str, error: ValueError) -> str:
    """As one line, with the parameters that it may be about."""
    told = " ".join(str(error).split())
    asked = ", ".join(f"{name}={value}" for name, value in _asked(url).items() if name != "sslpassword")
    return f"{told} ({asked})" if asked else told


async def _first(
    hosts: Sequence[Address], attempt: Callable[[Address], Coroutine[Any, Any, asyncpg.Connection]], timeout: float
) -> tuple[asyncpg.Connection, Address]:
    """The first connection that is made: a host has a head start before the next one, unless it fails before that.
    Raises the error of the last one that failed, TimeoutError where none did.
    """
    waiting, until = list(hosts), time.monotonic() + timeout
    tasks: dict[asyncio.Task[asyncpg.Connection], Address] = {}
    failed: BaseException | None = None
    try:
        while (left := until - time.monotonic()) > 0 and (waiting or tasks):
            if waiting:
                host = waiting.pop(0)
                tasks[asyncio.create_task(attempt(host))] = host
            patience = min(left, HEAD_START) if waiting else left
            done, _ = await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                host = tasks.pop(task)
                if task.exception() is None:
                    return task.result(), host
                failed = task.exception()
    finally:
        await _abandon(list(tasks))
    raise failed or TimeoutError(f"no answer within {timeout} s")


async def _abandon(tasks: Sequence[asyncio.Task[asyncpg.Connection]]) -> None:
    """Ends those that came too late, and what they opened meanwhile."""
    await end(tasks)
    for task in tasks:
        if not task.cancelled() and task.exception() is None:
            task.result().terminate()
