"""The configurations of docs/failover.md, as they stand there, with a test's own addresses and passwords."""

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "failover.md").read_text(encoding="utf-8")


def documented(name: str, values: Mapping[str, object]) -> str:
    """The block whose first line is the comment `name`; each word of `values` stands for another there."""
    (block,) = re.findall(rf"^```\w+\n(?:#|--) {re.escape(name)}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    if not values:
        return str(block)
    words = re.compile("|".join(rf"(?<![\w.]){re.escape(word)}(?![\w.])" for word in values))
    return words.sub(lambda found: str(values[found[0]]), block)
