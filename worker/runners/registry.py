"""Which runners there are: by the name that an agent has in its `runner`.

A configuration is checked when an agent is made, and again when its runner is opened. The module of a runner is
imported when it is wanted: what it needs may not be installed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from worker.runners.failing import RunnerError
from worker.runners.protocol import Runner

if TYPE_CHECKING:
    from worker.runners.pool import Pool

# name -> its module, with `check(config)` and `open_runner(config, surroundings) -> Runner`; the extra that it needs
RUNNERS: Mapping[str, tuple[str, str | None]] = {
    "python": ("worker.runners.python", None),
    "openai": ("worker.runners.openai", "openai"),
    "agui": ("worker.runners.agui", "agui"),
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process that opens a runner lets it have."""

    private_endpoints: bool = False  # whether it may call addresses of private networks
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)  # where keys are found by their names
    children: "Pool | None" = None  # for `isolation: process`; None: each run waits for a cold start


class ConfigError(ValueError):
    """An agent's configuration is wrong; the text names the field and says what it must be."""


def check(name: str, config: Mapping[str, Any]) -> None:
    """Raises ConfigError for an unknown runner or a wrong configuration; RunnerError where it is not installed."""
    _module(name).check(config)


def open_runner(name: str, config: Mapping[str, Any], surroundings: Surroundings) -> Runner:
    """Raises ConfigError for an unknown runner or a wrong configuration; RunnerError where it can't be had here."""
    runner: Runner = _module(name).open_runner(config, surroundings)
    return runner


def explain(error: ValidationError) -> str:
    """The first complaint as one line that names its field."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "config"
    return f"{place}: {first['msg']}"


def _module(name: str) -> ModuleType:
    if name not in RUNNERS:
        raise ConfigError(f"runner: there is no runner {name!r}, only {', '.join(sorted(RUNNERS))}")
    module, extra = RUNNERS[name]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if extra is None:
            raise
        raise RunnerError(
            f"The runner {name!r} is not installed here: pip install 'threadmill[{extra}]'.",
            code="runner.unavailable",
            retryable=True,
        ) from error
