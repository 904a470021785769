"""An author's functions, named as `module:function` in an agent's configuration.

Refused here: what the function has to be; whoever wants it asks.
"""

import importlib
from typing import Annotated, Any

from pydantic import Field

from worker.runners.failing import RunnerError

# Checked without an import: an operator's machine need not have the author's code.
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="module:function")]


def find(name: str, what: str) -> Any:
    """What the name stands for on this worker; `what` begins the message. Raises RunnerError."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # an author's module may raise anything
        raise RunnerError(
            f"{what} can't be loaded: {type(error).__name__}: {error}", code="runner.unavailable", retryable=True
        ) from error
