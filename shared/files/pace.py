"""How fast one process moves files: all transfers share one rate, in turns, so that others have the loop in between.

Each piece costs the loop a third of a millisecond; 32 transfers at full speed would leave it nothing. Refused here:
saying who goes first; turns are taken in the order in which they were asked for.
"""

import asyncio
from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    rate: float  # bytes a second
    _free_at: float = 0.0  # of the loop's clock

    async def turn(self, size: int) -> None:
        """Waits until so many bytes may have been moved since the turn before."""
        now = asyncio.get_running_loop().time()
        begin = max(now, self._free_at)
        self._free_at = begin + size / self.rate
        await asyncio.sleep(max(0.0, begin - now))
