"""What is told of a run while it is driven: the ids of its log lines, its span, its count, and that it went wrong."""

import structlog

from shared import logs
from shared.metrics import FINISHED_RUNS
from worker.execute.execution import Execution
from worker.tracing import WELL, Tracing

log = structlog.get_logger()


async def drive(execution: Execution, tracing: Tracing | None) -> None:
    """Drives the run as far as this worker has it. Call it in a task of its own."""
    context = execution.context
    logs.begin(run=context.run, thread=context.thread, account=context.account, agent=context.agent)
    if tracing is None:
        end = await execution.run()
    else:
        end = await tracing.run(context, execution.traceparent, execution.run)
    FINISHED_RUNS.labels(end).inc()
    if end not in WELL:
        code = execution.error.code if execution.error else None
        log.info("a run went wrong", end=end, code=code, attempt=context.attempt)
