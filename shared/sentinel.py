"""Which Redis is the master, as its sentinels say: for `redis+sentinel://[user:password@]host[:port][,…]/name[/db]`.

All of them are asked side by side, because one that hangs must not cost those who wait for a bell their quarter of a
second; of what they answer the newest word counts (`config-epoch`): a sentinel that was cut off names the old master.
Refused here: a replica, and connections that last; they are asked where a connection to Redis is opened, and by those
that are silent.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import structlog
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import RedisError

from shared.logs import Seldom
from shared.redis_urls import Address, Led, led_of
from shared.tasks import end
from shared.urls import is_port

log = structlog.get_logger()
warn = Seldom(log)

PATIENCE = 0.5  # seconds for the first one to answer
GRACE = 0.1  # seconds for the others, once one has
FRESH = 1.0  # seconds that their answer holds for new connections, unless one to that master fails
EVERY = 5.0  # seconds after which a connection that hears nothing asks who the master is now

_LONGEST = 200  # characters of what a sentinel says of an error
_QUOTED = re.compile(r",? with args\b")
_LOGIN = ("username", "password")


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

    led: Led
    master: Address | None = None  # as they said last
    _asked_at: float = field(default=-1e9)  # of the monotonic clock
    _told_at: float = field(default=-1e9)  # when they named the master that is still believed in
    _asking: asyncio.Task[Address] | None = None  # what those who come meanwhile wait for

    async def find(self) -> Address:
        """Where the master is, as they said within `FRESH` seconds. Raises NoMasterError."""
        if self.master is not None and time.monotonic() - self._told_at < FRESH:
            return self.master
        return await self._ask_together()

    async def _ask_together(self) -> Address:
        """One question for all who come while it is under way; it goes on where one of them goes."""
        loop = asyncio.get_running_loop()
        if self._asking is None or self._asking.done() or self._asking.get_loop() is not loop:
            self._asking = loop.create_task(self.ask())
            self._asking.add_done_callback(_heard)
        return await asyncio.shield(self._asking)

    def doubt(self, address: Address) -> None:
        """A connection to it failed: the next one asks again."""
        if address == self.master:
            self._told_at = -1e9

    async def ask(self) -> Address:
        """Where the master is. Raises NoMasterError."""
        self._asked_at = time.monotonic()
        words = await self.words(PATIENCE, GRACE)
        masters = [(word.epoch, word.master) for word in words if word.master is not None]
        if not masters:
            told = "; ".join(f"{word.sentinel}: {word.error}" for word in words)
            raise NoMasterError(f"no sentinel names a master {self.led.name!r}: {told}")
        _, self.master = max(masters)
        self._told_at = time.monotonic()
        return self.master

    async def ask_if_due(self) -> Address | None:
        """The master as it was said within `EVERY` seconds; None where that is not known."""
        if time.monotonic() - self._asked_at > EVERY:
            try:
                await self._ask_together()
            except NoMasterError:
                return None  # nothing better is known than the connection at hand
        return self.master

    async def words(self, patience: float, grace: float) -> Sequence[Word]:
        """What each says: `patience` seconds for the first one with a master, `grace` for the others."""
        asked = [asyncio.create_task(self._ask(place)) for place in self.led.places]
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
        pairs = zip(self.led.places, asked, strict=True)
        return [_late(place) if task in late else task.result() for place, task in pairs]

    async def _ask(self, place: Address) -> Word:
        """What one says. One that says what nobody can read is as good as away."""
        told = _told(place)
        try:
            return await self._hear(place)
        except (RedisError, OSError) as error:
            return Word(told, error=self._without_passwords(str(error) or repr(error)))
        except Exception as error:
            warn("a sentinel says what is no answer", sentinel=told, error=type(error).__name__)
            return Word(told, error=f"says what is no answer ({type(error).__name__})")

    async def _hear(self, place: Address) -> Word:
        """In one round trip behind the connection's own, with AUTH: one that is far off has `PATIENCE` for all of it.
        Raises anything, where it answers as no sentinel does.
        """
        kind = SSLConnection if self.led.secure else Connection
        own = {name: value for name, value in self.led.own.items() if name not in _LOGIN}
        connection = kind(host=place[0], port=place[1], lib_name=None, lib_version=None, **own)
        questions = [("SENTINEL", word, self.led.name) for word in ("GET-MASTER-ADDR-BY-NAME", "MASTER")]
        try:
            await connection.connect()
            if login := self._login():
                await connection.send_packed_command(connection.pack_commands([("AUTH", *login), *questions]))
                await connection.read_response()
            else:
                await connection.send_packed_command(connection.pack_commands(questions))
            address = await connection.read_response()
            if address is None:
                return Word(_told(place), error=f"knows no {self.led.name!r}")
            flat = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return _word(place, address, dict(zip(flat[::2], flat[1::2], strict=True)))

    def _login(self) -> tuple[str, ...]:
        """What AUTH is to say."""
        username, password = (self.led.own.get(name, "") for name in _LOGIN)
        if username:
            return username, password
        return (password,) if password else ()

    def _without_passwords(self, error: str) -> str:
        """An error of a server may quote a command that it did not know, AUTH too: Redis does, and cuts it short."""
        error = _QUOTED.split(error, maxsplit=1)[0]
        for name in _LOGIN:
            if secret := self.led.own.get(name):
                error = error.replace(secret, "***")
        return error[:_LONGEST]


def _word(place: Address, address: Sequence[bytes], state: Mapping[bytes, bytes]) -> Word:
    """Raises ValueError, TypeError, KeyError, … on what no sentinel says."""
    host, port = (part.decode("ascii") for part in address)
    if not host or not host.isprintable() or not is_port(port):
        raise ValueError("no address")
    flags = state[b"flags"]
    down = b"_down" in flags or b"disconnected" in flags
    return Word(_told(place), (host, int(port)), int(state[b"config-epoch"]), int(state[b"num-slaves"]), down)


def _heard(asking: asyncio.Task[Address]) -> None:
    """Nobody may be left who waits for what was asked."""
    if not asking.cancelled():
        asking.exception()


def _told(place: Address) -> str:
    return f"{place[0]}:{place[1]}"


def _late(place: Address) -> Word:
    return Word(_told(place), error="no answer in time")


@lru_cache(maxsize=16)
def sentinels_of(url: str) -> Sentinels:
    """The sentinels that a URL names. Raises ValueError where it is none of ours."""
    return Sentinels(led_of(url))
