"""Standing by for threads that somebody else has locked: a few looks at once, then the sweep's."""

import asyncio
from dataclasses import dataclass

PAUSE = 0.005  # seconds; whoever locks a thread alone appends to it, which takes less
MOST = 20  # times in a row


@dataclass(slots=True)
class StandBy:
    _times: int = 0  # in a row that a thread was locked

    async def wait(self, *, busy: bool) -> bool:
        """Whether to look again at once, after a moment."""
        if not busy:
            self._times = 0
            return False
        self._times += 1
        if self._times > MOST:  # whoever has it has it for long
            return False
        await asyncio.sleep(PAUSE)
        return True
