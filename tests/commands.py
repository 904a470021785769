"""What the command line consists of."""

from functools import cache
from typing import Any

import typer

from deploy import cli


@cache
def commands() -> dict[str, Any]:
    """Verbs and nouns by name; nouns have `commands` of their own."""
    root: Any = typer.main.get_group(cli.app)
    return {name: root.get_command(None, name) for name in root.list_commands(None)}
