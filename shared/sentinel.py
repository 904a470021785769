"""Which Redis is the master, as its sentinels say: for `redis+sentinel://[user:password@]host[:port][,…]/name[/db]`.

All of them are asked side by side, because one that hangs must not cost those who wait for a bell their quarter of a
second; of what they answer the newest word counts (`config-epoch`): a sentinel that was cut off names the old master.
Refused here: a replica, and connections that last; they are asked where a connection to Redis is opened, and by those
that are silent.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlencode

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import RedisError

from shared.tasks import end

SCHEMES = ("redis+sentinel://", "rediss+sentinel://")  # the second: TLS to Redis and to the sentinels
PORT = 26379
PATIENCE = 0.5  # seconds for the first one to answer
GRACE = 0.1  # seconds for the others, once one has
EVERY = 5.0  # seconds after which a connection that hears nothing asks who the master is now

Address: TypeAlias = tuple[str, int]
Options: TypeAlias = Mapping[str, Any]  # of redis-py's connections


class NoMasterError(Unreachable):
    """No sentinel names a master."""


@dataclass(frozen=True, slots=True)
class Word:
    """What one sentinel says."""

    sentinel: str  # host:port
    master: Address | None = None
    epoch: int = -1  # of its configuration: it grows with each fail-over
    replicas: int = 0
    down: bool = False  # this sentinel does not reach the master
    error: str = ""  # why there is no master


@dataclass(slots=True)
class Sentinels:
    """Those of one URL. One object a process and URL, so that who learns of a fail-over tells all connections."""

    places: Sequence[Address]
    name: str
    secure: bool
    own: Options  # for connections to the sentinels
    options: Options  # for connections to the master
    master: Address | None = None  # as they said last
    _asked_at: float = field(default=-1e9)  # of the monotonic clock

    async def ask(self) -> Address:
        """Where the master is. Raises NoMasterError."""
        self._asked_at = time.monotonic()
        words = await self.words(PATIENCE, GRACE)
        masters = [(word.epoch, word.master) for word in words if word.master is not None]
        if not masters:
            told = "; ".join(f"{word.sentinel}: {word.error}" for word in words)
            raise NoMasterError(f"no sentinel names a master {self.name!r}: {told}")
        _, self.master = max(masters)
        return self.master

    async def ask_if_due(self) -> Address | None:
        """The master as it was said within `EVERY` seconds; None where that is not known."""
        if time.monotonic() - self._asked_at > EVERY:
            try:
                await self.ask()
            except NoMasterError:
                return None  # nothing better is known than the connection at hand
        return self.master

    async def words(self, patience: float, grace: float) -> Sequence[Word]:
        """What each says: `patience` seconds for the first one with a master, `grace` for the others."""
        asked = [asyncio.create_task(self._ask(place)) for place in self.places]
        until = time.monotonic() + patience
        try:
            pending = set(asked)
            while pending and (left := until - time.monotonic()) > 0:
                done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if any(task.result().master is not None for task in done):
                    until = min(until, time.monotonic() + grace)
        finally:
            late = {task for task in asked if not task.done()}
            await end(late)
        pairs = zip(self.places, asked, strict=True)
        return [_late(place) if task in late else task.result() for place, task in pairs]

    async def _ask(self, place: Address) -> Word:
        kind = SSLConnection if self.secure else Connection
        connection = kind(host=place[0], port=place[1], lib_name=None, lib_version=None, **self.own)
        told = _told(place)
        try:
            await connection.connect()
            await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
            address = await connection.read_response()
            if address is None:
                return Word(told, error=f"knows no {self.name!r}")
            await connection.send_command("SENTINEL", "MASTER", self.name)
            flat = await connection.read_response()
            state = dict(zip(flat[::2], flat[1::2], strict=True))
        except (RedisError, OSError, ValueError) as error:
            return Word(told, error=str(error) or repr(error))
        finally:
            await connection.disconnect(nowait=True)
        down = b"_down" in state[b"flags"] or b"disconnected" in state[b"flags"]
        return Word(
            told,
            (address[0].decode(), int(address[1])),
            int(state[b"config-epoch"]),
            int(state[b"num-slaves"]),
            down,
        )


def _told(place: Address) -> str:
    return f"{place[0]}:{place[1]}"


def _late(place: Address) -> Word:
    return Word(_told(place), error="no answer in time")


def is_sentinel(url: str) -> bool:
    return url.startswith(SCHEMES)


@lru_cache(maxsize=16)
def sentinels_of(url: str) -> Sentinels:
    """The sentinels that a URL names. Raises ValueError where it is none of ours."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    netloc, _, path = rest.partition("/")
    login, at, hosts = netloc.rpartition("@")
    name, _, db = path.partition("/")
    if not name:
        raise ValueError("names no master: redis+sentinel://host:26379,host:26379/mymaster/0")
    if db and not db.isdigit():
        raise ValueError(f"{db!r} is no number of a database")
    given = {key: values[-1] for key, values in parse_qs(query).items()}
    own = {key.removeprefix("sentinel_"): given.pop(key) for key in list(given) if key.startswith("sentinel_")}
    if unknown := own.keys() - {"username", "password"}:
        raise ValueError(f"no such option: sentinel_{min(unknown)}")
    secure = scheme.startswith("rediss")
    options = _options(f"redis{'s' if secure else ''}://{login}{at}localhost/{db or 0}?{urlencode(given)}")
    own |= {key: value for key, value in options.items() if key.startswith("ssl_")}
    places = [_place(host) for host in hosts.split(",")]
    return Sentinels(places, unquote(name), secure, {**own, "socket_connect_timeout": 1, "socket_timeout": 1}, options)


def _options(url: str) -> dict[str, Any]:
    """As redis-py reads them."""
    known: dict[str, Any] = dict(parse_url(url))
    return {key: value for key, value in known.items() if key not in {"connection_class", "host", "port"}}


def _place(text: str) -> Address:
    """`host`, `host:port`, `[::1]:port`."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    host = unquote(host.removeprefix("[").removesuffix("]"))
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{text!r} is no address of a sentinel")
    return host, int(port)
