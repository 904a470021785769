"""Connections to Redis that write a command in the turn of the loop in which it is given.

redis-py looks first whether an idle connection has something to read, and writes in a task of its own: three turns of
the loop, of which each takes milliseconds where many requests are in hand. Here the stream tells what is known without
a turn, and what is small is written at once. A connection to a master that is none any more is given up, and opened
again wherever the address or the sentinels lead then. Refused here: what a command means.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import ReadOnlyError, ResponseError

from shared.redis_urls import is_sentinel
from shared.sentinel import Sentinels, sentinels_of

# Seconds for a master to say that it is one: the kernel takes connections for who stands still, too, and who may wait
# long for a wake-up would wait as long for this.
_HANDSHAKE = 1.0
_SMALL = 64 << 10  # bytes under way that nobody waits for; asyncio's own mark

# What a demoted or lonely master answers; within a script's error, too.
_DEMOTED = ("READONLY", "UNBLOCKED", "NOREPLICAS", "MASTERDOWN")


class _Prompt(AbstractConnection):
    async def can_read_destructive(self) -> bool:
        """Whether the server hung up, or the connection broke. One that was read amiss is closed where that happens."""
        stream = self._reader
        return stream is None or stream.at_eof() or stream.exception() is not None

    async def on_connect(self) -> None:
        """uvloop keeps what is written for the end of a turn, unless so much may not be kept."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.transport.set_write_buffer_limits(high=0)
        await super().on_connect()

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        writer = self._writer
        if writer is None or self.health_check_interval or isinstance(command, str):
            await super().send_packed_command(command, check_health)
            return
        try:
            writer.writelines([command] if isinstance(command, bytes) else command)
            if writer.transport.get_write_buffer_size() > _SMALL:
                await super().send_packed_command((), check_health=False)  # waits until there is room, for a time
        except RuntimeError as error:  # uvloop's word for a transport that closed, as who reads from it saw, or will
            await self.disconnect(nowait=True)
            raise Unreachable("The connection was closed.") from error

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)
        except ResponseError as error:
            if isinstance(error, ReadOnlyError) or any(word in str(error) for word in _DEMOTED):
                await self.disconnect(nowait=True)
            raise


class _Led(_Prompt, Connection):
    """A connection to the master that sentinels name, for as long as they do."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**options)

    @property
    def _astray(self) -> bool:
        """Whether the sentinels have named another master since."""
        return self._sentinels.master not in {None, (self.host, self.port)}

    async def connect(self) -> None:
        if not self.is_connected:
            self.host, self.port = await self._sentinels.find()
            try:
                async with asyncio.timeout(_HANDSHAKE):
                    await super().connect()  # type: ignore[no-untyped-call]  # of redis 5
            except Exception as error:
                self._sentinels.doubt((self.host, self.port))
                if isinstance(error, TimeoutError):  # of redis-py's own there is another class
                    await self.disconnect(nowait=True)
                    raise Unreachable(f"{self.host}:{self.port} does not answer") from None
                raise

    async def on_connect(self) -> None:
        """A sentinel may not know yet: the server itself says whether it is the master."""
        await super().on_connect()
        await self.send_command("HELLO")
        told = await self.read_response()
        try:
            role = dict(zip(told[::2], told[1::2], strict=True))[b"role"]
        except (TypeError, ValueError, KeyError):
            raise Unreachable(f"{self.host}:{self.port} does not say whether it is the master") from None
        if role != b"master":
            raise Unreachable(f"{self.host}:{self.port} is no master yet, or no longer")

    async def can_read_destructive(self) -> bool:
        return self._astray or await super().can_read_destructive()

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Where it may be silent (a subscription), it asks from time to time whether it hears the right one."""
        try:
            response = await super().read_response(*arguments, **options)
        finally:
            if not self.is_connected:  # given up: what it led to may be the master no more
                self._sentinels.doubt((self.host, self.port))
        if response is None and options.get("timeout") is not None:
            await self._sentinels.ask_if_due()
            if self._astray:
                await self.disconnect(nowait=True)
                raise Unreachable(f"{self.host}:{self.port} is no longer the master")
        return response


class _LedSecurely(_Led, SSLConnection):
    pass


def prompt_pool(url: str, **options: object) -> ConnectionPool:
    """A pool of such connections (TCP, TLS or a Unix socket, or to whatever sentinels name); `options` as of redis-py's
    own. Connects when it is first used.
    """
    if is_sentinel(url):
        sentinels = sentinels_of(url)
        kind: type[AbstractConnection] = _LedSecurely if sentinels.led.secure else _Led
        return ConnectionPool(kind, sentinels=sentinels, **{**options, **sentinels.led.options})
    pool: ConnectionPool = ConnectionPool.from_url(url, **options)
    kind = pool.connection_class
    pool.connection_class = type(f"Prompt{kind.__name__}", (_Prompt, kind), {})
    return pool


def sentinels_behind(pool: ConnectionPool) -> Sentinels | None:
    """Those that a pool of ours goes by."""
    found = pool.connection_kwargs.get("sentinels")
    return found if isinstance(found, Sentinels) else None
