"""Tools of the tests: what was called is kept in `used`, which each test empties."""

import asyncio
from typing import Any

used: list[tuple[Any, ...]] = []


async def add(a: float, b: float) -> float:
    used.append(("add", a, b))
    return a + b


async def pay(order: str, *, key: str) -> dict[str, str]:
    used.append(("pay", order, key))
    return {"paid": order}


async def explode(why: str) -> None:
    used.append(("explode", why))
    raise LookupError(f"no such thing: {why}")


async def hang() -> None:
    used.append(("hang",))
    await asyncio.Event().wait()


async def long() -> str:
    return "x\x00" * 100_000


async def odd() -> object:
    return object()


def plain() -> str:
    return "not awaited"


def tool(name: str, *properties: str, **settings: Any) -> dict[str, Any]:
    """The configuration of one of these."""
    schema = {"type": "object", "properties": {each: {} for each in properties}, "required": list(properties)}
    return {"name": name, "function": f"tests.model_tools:{name}", "parameters": schema, **settings}


ADD = tool("add", "a", "b")
PAY = tool("pay", "order", ask=True, expires_in=60.0)
EXPLODE = tool("explode", "why")
