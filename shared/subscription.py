"""A subscription that notices when nobody is at the other end any more.

Redis says nothing where there is nothing to say, and neither does a server that hangs, or is gone with its machine: so
what is silent is asked for a sign of life. Refused here: subscribing again, its owner's loop does.
"""

from dataclasses import dataclass
from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import TimeoutError as Silence

SILENT = 3  # looks without a word, of which the last ones were asked for


@dataclass(slots=True)
class Subscription:
    pubsub: PubSub
    look: float  # seconds that one waits for a message
    _silent: int = 0

    async def message(self) -> dict[str, Any] | None:
        """The next message, or None where none came within a look. Raises what redis-py raises, and its TimeoutError
        where the server gives no sign of life for `SILENT` looks.
        """
        message: dict[str, Any] | None = await self.pubsub.get_message(timeout=self.look)
        if message is not None:
            self._silent = 0
            return None if message["type"] == "pong" else message
        self._silent += 1
        if self._silent >= SILENT:
            raise Silence(f"no sign of life for {SILENT * self.look:.0f} s")
        await self.pubsub.ping()
        return None
