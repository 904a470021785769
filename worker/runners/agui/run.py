"""One call of the runner: ask the endpoint, tell what it answers, and end as it ends."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from ag_ui.core import PROTOCOL_VERSION, RunAgentInput

from worker.runners.agui.attached import wire
from worker.runners.agui.config import AguiConfig
from worker.runners.agui.endpoint import Endpoint
from worker.runners.agui.memory import Memory
from worker.runners.agui.translation import Translation
from worker.runners.context import Context, Message
from worker.runners.outputs import Output
from worker.runners.protocol import Runner

log = structlog.get_logger()


def runner(config: AguiConfig, endpoint: Endpoint) -> Runner:
    async def run(ctx: Context) -> AsyncIterator[Output]:
        memory = Memory.of(ctx)
        if memory.finished:
            return
        if undecided := memory.undecided(ctx.decisions):  # a worker was lost before it could wait
            for asked in undecided:
                yield asked.request(ctx.now())
            return
        translation = Translation(memory, ctx.now)
        try:
            async with aclosing(endpoint.events(await _body(config, memory, ctx))) as events:
                async for data in events:
                    for output in translation.read(data):
                        yield output
                    if translation.ended:
                        return
            raise translation.cut()
        finally:
            _tell(ctx, translation)

    return run


async def _body(config: AguiConfig, memory: Memory, ctx: Context) -> bytes:
    resume = [asked.entry(ctx.decisions[asked.key]) for asked in memory.asked]
    asked_for = RunAgentInput.model_validate(
        {
            "protocol_version": PROTOCOL_VERSION,
            "thread_id": ctx.thread,
            "run_id": memory.run_id,
            "state": memory.state,
            "messages": await _messages(config, memory, ctx),
            "tools": [],
            "context": [item.model_dump() for item in config.context],
            "forwarded_props": config.forwarded_props,
            "resume": resume or None,
        }
    )
    return asked_for.model_dump_json(by_alias=True).encode()


async def _messages(config: AguiConfig, memory: Memory, ctx: Context) -> list[dict[str, Any]]:
    """The conversation: the thread's, and after a wait what was said before it."""
    if memory.whole:
        return memory.messages
    earlier: Sequence[Message] = await ctx.history(config.history) if config.history else ()
    return [*await wire(ctx, [*earlier, *ctx.messages]), *memory.messages]


def _tell(ctx: Context, translation: Translation) -> None:
    if translation.unknown:
        log.warning(
            "an AG-UI endpoint sent events of unknown types; they were left out",
            run=ctx.run,
            agent=ctx.agent,
            types=dict(translation.unknown),
        )
