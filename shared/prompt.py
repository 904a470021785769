"""Connections to Redis that write a command in the turn of the loop in which it is given.

redis-py looks first whether an idle connection has something to read, and writes in a task of its own: three turns of
the loop, of which each takes milliseconds where many requests are in hand. Here the stream tells what is known without
a turn, and what is small is written at once. Refused here: what a command means.
"""

from collections.abc import Iterable

from redis.asyncio.connection import AbstractConnection, ConnectionPool

_SMALL = 64 << 10  # bytes under way that nobody waits for; asyncio's own mark


class _Prompt(AbstractConnection):
    async def can_read_destructive(self) -> bool:
        """Whether the server hung up, or the connection broke. One that was read amiss is closed where that happens."""
        stream = self._reader
        return stream is None or stream.at_eof() or stream.exception() is not None

    async def on_connect(self) -> None:
        """uvloop keeps what is written for the end of a turn, unless so much may not be kept."""
        if self._writer is not None:
            self._writer.transport.set_write_buffer_limits(high=0)
        await super().on_connect()

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        writer = self._writer
        if writer is None or self.health_check_interval or isinstance(command, str):
            await super().send_packed_command(command, check_health)
            return
        writer.writelines([command] if isinstance(command, bytes) else command)
        if writer.transport.get_write_buffer_size() > _SMALL:
            await super().send_packed_command((), check_health=False)  # waits until there is room, for a time


def prompt_pool(url: str, **options: object) -> ConnectionPool:
    """A pool of such connections (TCP, TLS or a Unix socket); `options` as of redis-py's own. Connects when it is first
    used.
    """
    pool: ConnectionPool = ConnectionPool.from_url(url, **options)
    kind = pool.connection_class
    pool.connection_class = type(f"Prompt{kind.__name__}", (_Prompt, kind), {})
    return pool
