"""An agent's configuration as a command is given it: a file, standard input, or JSON; and whether its runner takes it.

Refused: storing what the runner would refuse. A runner that is not installed here can't be asked: that is said.
"""

import sys
from pathlib import Path
from typing import Any

import typer

from deploy.errors import SetupError
from worker.runners import configfile, registry
from worker.runners.failing import RunnerError
from worker.runners.registry import ConfigError

_LIMIT = 1 << 20  # bytes; every run reads it


def read(given: str) -> dict[str, Any]:
    """`-`: standard input; what begins with `{`: JSON as it stands; else the path of a YAML or JSON file.

    Raises SetupError: one line, with the file and the line.
    """
    try:
        if given == "-":
            return configfile.parse(sys.stdin.read(_LIMIT + 1), "standard input")
        if given.lstrip().startswith("{"):
            return configfile.parse(given, "--config")
        return configfile.parse(_text(Path(given)), given)
    except (ConfigError, UnicodeDecodeError) as error:
        raise SetupError(str(error) if isinstance(error, ConfigError) else f"{given}: is no UTF-8") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SetupError(f"--config: {given!r} can't be read: {reason}") from error


def check(runner: str, config: dict[str, Any]) -> None:
    """Asks the runner. Raises SetupError that names the field; warns where the runner is not installed here."""
    try:
        registry.check(runner, config)
    except ConfigError as error:
        raise SetupError(str(error)) from error
    except RunnerError as error:
        typer.echo(f"threadmill: the configuration is stored unchecked: {error.message}", err=True)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise ConfigError(f"{path}: is longer than {_LIMIT} bytes")
    return data.decode("utf-8-sig")
