"""What the demo agents say to a text, worked out apart from them: the exact words that a log must hold."""

import re

ASKED = "I would like to answer. May I?"
DENIED, EXPIRED = "I did not answer: rejected.", "I did not answer: expired."
TICKS = 10  # numbers a second of `/slow N`


def echoed(text: str) -> str:
    """All that `echo` says to a text."""
    slow = re.search(r"/slow (\d+)", text)
    numbers = range(1, int(slow[1]) * TICKS + 1) if slow else ()
    return "".join(f"{number} " for number in numbers) + text
