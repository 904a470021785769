"""A runner with a tool, a checkpoint and a permission: it tells the weather, and asks before it warns everybody.

Try it without a server:  python -m worker.runners.conformance weather:run --config weather.yaml --text Bergen
"""

import asyncio
from collections.abc import AsyncIterator

from worker.runners import (
    Checkpoint,
    Context,
    MessageEnd,
    Output,
    PermissionRequest,
    RunnerError,
    TextDelta,
    ToolCompleted,
    ToolStarted,
)


async def run(ctx: Context) -> AsyncIterator[Output]:
    city = ctx.messages[-1].text.strip()
    forecast = ctx.state  # of the last checkpoint: the tool is not used again after a wait or a crash
    if forecast is None:
        call = ctx.key("forecast")
        yield ToolStarted(call, "forecast", {"city": city})
        forecast = await look_up(ctx, city)
        yield ToolCompleted(call, forecast)
        yield TextDelta(f"The weather in {city}: {forecast}.")
        yield MessageEnd()
        yield Checkpoint(forecast)
    if forecast not in ctx.config["warn_of"]:
        return
    warning = {"city": city, "text": f"Expect {forecast}."}
    decision = ctx.decisions.get("warn")
    if decision is None:
        yield PermissionRequest("warn", f"Warn everybody in {city}?", "send_warning", warning, expires_in=600)
        return  # the run waits, without a worker; then `run` is called again
    if not decision.allowed:
        yield TextDelta(f"Nobody was warned: {decision.verdict}.")
        return
    call = ctx.key("warn")
    yield ToolStarted(call, "send_warning", warning)
    yield ToolCompleted(call, await send(call, warning))
    yield TextDelta(f"Everybody in {city} was warned.")


async def look_up(ctx: Context, city: str) -> str:
    """The forecast for a city. A table of the configuration stands in for a weather service."""
    await asyncio.sleep(0.01)
    forecasts: dict[str, str] = ctx.config["forecasts"]
    if city not in forecasts:
        raise RunnerError(f"There is no forecast for {city!r}.", code="weather.unknown_city")
    return forecasts[city]


async def send(key: str, warning: dict[str, str]) -> str:
    """Sends the warning. It may be called twice with one `key`, after a crash; whoever receives it knows by the key."""
    await asyncio.sleep(0.01)
    return f"sent {key}"
