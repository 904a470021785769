"""`DIR/dev.json`: what `threadmill dev` made at its first start and keeps for every later one.

It holds secrets (tokens, the password of the embedded Postgres): mode 0600, replaced as a whole, not logged.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.errors import SetupError

DEFAULT_DIRECTORY = Path(".data")


class Ports(BaseModel):
    """The ports of the last start on 127.0.0.1; taken again where they are free. 0: none yet."""

    model_config = ConfigDict(frozen=True)

    api: int = 0
    postgres: int = 0
    redis: int = 0


class DevFile(BaseModel):
    """The values of one data directory: what the JSON line of `threadmill dev` shows, and what renews it."""

    model_config = ConfigDict(frozen=True)

    url: str = ""
    token: str = ""
    admin_token: str = ""
    agents: dict[str, str] = {}
    database_url: str = ""
    redis_url: str = ""
    password: str = ""
    ports: Ports = Ports()


def path_of(data: Path) -> Path:
    return data / "dev.json"


def read(data: Path) -> DevFile | None:
    """The file's values, or None where there is none yet. Raises SetupError where it can't be read."""
    path = path_of(data)
    try:
        return DevFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise SetupError(f"{path} can't be read ({type(error).__name__}): remove it, or name another --data") from error


def write(data: Path, values: DevFile) -> None:
    """Replaces the file at once: a reader sees the old values or the new ones."""
    path = path_of(data)
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(values.model_dump_json(indent=2) + "\n")
    draft.replace(path)
