"""The tools of docs/examples/openai.yaml: what a tool looks like. They reach nothing outside the worker."""

from datetime import UTC, datetime
from typing import Any


async def clock() -> str:
    """A tool that asks nobody: the time."""
    return datetime.now(UTC).isoformat(timespec="seconds")


async def refund(order: str, amount: float, *, key: str) -> dict[str, Any]:
    """A tool with a side effect, which pretends. A true one hands `key` on, so that a second call pays nothing."""
    return {"order": order, "amount": amount, "reference": key}
