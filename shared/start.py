"""How a process reads its settings: a wrong one is a line on standard error and exit code 2, not a traceback."""

import os
import sys
from typing import Any

from pydantic import ValidationError

from shared import __version__
from shared.masks import masked
from shared.settings import Settings

_HIDDEN = ("url", "secret", "password", "token", "key")  # in the name of a setting: it is not for a log


def explain(error: ValidationError) -> str:
    """The first setting that is wrong, by the name of its variable, and why."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(map(str, first["loc"]))
    variable = name if name.isupper() or not name else f"THREADMILL_{name.upper()}"
    return f"{variable}: {first['msg']}" if variable else first["msg"]


def read_settings() -> Settings:
    """The settings of the environment. Ends the process with 2 where one of them can't be read."""
    try:
        return Settings()
    except ValidationError as error:
        print(explain(error), file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(2)


def told(settings: Settings) -> dict[str, Any]:
    """What a process says of itself when it starts: its version, its servers without their passwords, and the settings
    that somebody chose.
    """
    chosen = {name for name in settings.model_fields_set if not any(word in name for word in _HIDDEN)}
    return {
        "version": __version__,
        "pid": os.getpid(),
        "database": masked(settings.database_url),
        "redis": masked(settings.redis_url),
        "settings": {name: getattr(settings, name) for name in sorted(chosen)},
    }
