"""`snowflake-cortex-agents`, led to a service of ours."""

import asyncio
from collections.abc import Callable
from typing import Any

from cortex_agents import CortexAgent

from tests.agents import Stage

SNOWFLAKE = "https://acme.snowflakecomputing.com"  # its constructor takes no other address; set behind it, any is used
PLACE: dict[str, Any] = {"agent_name": "echo", "database": "ANY", "schema": "PUBLIC"}


async def blocking(stage: Stage, use: Callable[[Any], Any]) -> Any:
    """What the client that blocks comes to, in a thread of its own."""

    def run() -> Any:
        with CortexAgent(SNOWFLAKE, stage.client.token, enable_logging=False) as agent:
            agent.account_url = stage.client.url
            return use(agent)

    return await asyncio.to_thread(run)
