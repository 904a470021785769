"""How a process reads its settings: a wrong one is a line on standard error and exit code 2, not a traceback."""

import sys

from pydantic import ValidationError

from shared.settings import Settings


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
