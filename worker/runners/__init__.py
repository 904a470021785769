"""The runner contract, version 1: what an agent's author writes, and what a worker gives and takes.

A runner is one async generator, `async def run(ctx: Context) -> AsyncIterator[Output]`. See docs/runners.md.
"""

from worker.runners.context import (
    Context,
    Decision,
    Message,
    Steering,
    Verdict,
)
from worker.runners.failing import RunnerError
from worker.runners.files import Files, ThreadFile
from worker.runners.outputs import (
    Checkpoint,
    Custom,
    File,
    MessageEnd,
    Output,
    PermissionRequest,
    TextDelta,
    ThinkingDelta,
    ToolCompleted,
    ToolStarted,
    Usage,
)
from worker.runners.protocol import Runner

CONTRACT_VERSION = 1

__all__ = [
    "CONTRACT_VERSION",
    "Checkpoint",
    "Context",
    "Custom",
    "Decision",
    "File",
    "Files",
    "Message",
    "MessageEnd",
    "Output",
    "PermissionRequest",
    "Runner",
    "RunnerError",
    "Steering",
    "TextDelta",
    "ThinkingDelta",
    "ThreadFile",
    "ToolCompleted",
    "ToolStarted",
    "Usage",
    "Verdict",
]
