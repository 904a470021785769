"""The runner `python`: an author's own async generator, named as `module:function`.

`isolation: inline` (the default) runs it in the worker's loop; `process` in a child of its own (`isolation.py`).
"""

import inspect
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.runners.failing import RunnerError
from worker.runners.functions import FunctionName, find
from worker.runners.protocol import Runner
from worker.runners.registry import ConfigError, Surroundings, explain


class PythonConfig(BaseModel):
    """Keys of ours; whatever else the configuration holds is the author's."""

    model_config = ConfigDict(extra="allow", frozen=True)

    function: FunctionName
    isolation: Literal["inline", "process"] = "inline"


def check(config: Mapping[str, Any]) -> PythonConfig:
    """Raises ConfigError. Does not import anything: an operator's machine need not have the author's code."""
    try:
        return PythonConfig.model_validate(config)
    except ValidationError as error:
        raise ConfigError(explain(error)) from error


def open_runner(config: Mapping[str, Any], surroundings: Surroundings) -> Runner:
    """Raises ConfigError, RunnerError where there is no such function on this worker (isolated, its run says so)."""
    checked = check(config)
    if checked.isolation == "inline":
        return load(checked.function)
    # Each child imports this module, and needs none of these.
    from worker.runners.isolation import isolate  # noqa: PLC0415 - as said
    from worker.runners.pool import Pool  # noqa: PLC0415 - as said

    return isolate(checked.function, surroundings.children or Pool(0, surroundings.environment))


def load(function: str) -> Runner:
    """The async generator function that `module:function` names. Raises RunnerError."""
    found = find(function, f"The function {function!r}")
    if not inspect.isasyncgenfunction(found):
        name = function.partition(":")[2]
        raise RunnerError(
            f"{function!r} is no async generator function: `async def {name}(ctx)` with a `yield` in it.",
            code="runner.unavailable",
        )
    runner: Runner = found
    return runner
