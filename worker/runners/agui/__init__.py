"""The runner `agui`: somebody else's agent behind an AG-UI HTTP endpoint. See docs/runners-agui.md.

A run POSTs one RunAgentInput and reads the events that come back; what the endpoint asks for becomes permission
requests, and their decisions go back as `resume`. Refused here: other transports than SSE, tools of a frontend.
"""

from collections.abc import Mapping
from typing import Any

from worker.runners.agui.config import check
from worker.runners.agui.endpoint import Endpoint
from worker.runners.agui.run import runner
from worker.runners.protocol import Runner
from worker.runners.registry import Surroundings

__all__ = ["check", "open_runner"]


def open_runner(config: Mapping[str, Any], surroundings: Surroundings) -> Runner:
    """Raises ConfigError, RunnerError where this worker has no token of the name that the configuration gives."""
    checked = check(config)
    return runner(checked, Endpoint.of(checked, surroundings))
