"""`threadmill`: the root of the command line.

It joins the nouns, and turns every end into one line and an exit code.
"""

import sys
from importlib import import_module
from typing import Any

import asyncpg
import typer
from typer.core import TyperGroup

from deploy.errors import CommandError
from shared import __version__
from shared.db.connect import AWAY
from shared.db.migrate import NotThroughPooler, SchemaTooNew, SchemaTooOld, TableInUse
from shared.db.way import Misconfigured
from shared.errors import InvalidRequest, ThreadmillError

_INTERRUPTED = 130  # as a shell has it
_READ_ONLY = (
    "Postgres is read-only: a standby perhaps, or default_transaction_read_only is on."
    " DATABASE_URL is to lead to the primary"
)

# Each is a module of deploy.commands; the help page has them in this order.
_VERBS = ("dev", "migrate", "top", "doctor")
_NOUNS = ("account", "token", "agent", "queue", "thread", "run", "dead", "file", "webhook", "worker", "audit")
_COMMANDS = _VERBS + _NOUNS


class _Lazy(TyperGroup):
    """Imports a command once it is asked for: together they take longer to import than most take to run. `Any`: typer's
    types of a context and a command are private.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """None where there is none; typer then looks through `commands` for what was meant, so all are there."""
        for name in (cmd_name,) if cmd_name in _COMMANDS else _COMMANDS:
            if name not in self.commands:
                self.commands[name] = _command(name)
        return self.commands.get(cmd_name)


app = typer.Typer(
    name="threadmill",
    cls=_Lazy,
    help="Durable, ordered, exactly-once event processing for agent threads.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    show_version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if show_version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _command(name: str) -> Any:
    of = typer.main.get_command if name in _VERBS else typer.main.get_group
    made = of(import_module(f"deploy.commands.{name}").app)
    made.name = name
    return made


def main() -> None:
    """The entry point of the distribution. Shows no traceback for what the user can put right."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line; returns its exit code."""
    if not all(map(_is_unicode, arguments)):
        return _fail("the command line is not in UTF-8", 2)
    try:
        result = app(arguments, prog_name="threadmill", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except typer.Abort:
        return _fail("interrupted", _INTERRUPTED)
    except CommandError as error:
        return _fail(str(error), error.exit_code)
    except ThreadmillError as error:
        return _fail(error.message, 2 if isinstance(error, InvalidRequest) else 1)
    except (SchemaTooNew, SchemaTooOld, NotThroughPooler, Misconfigured) as error:
        return _fail(str(error), 2)
    except TableInUse as error:
        return _fail(str(error), 1)
    except AWAY as error:
        return _fail(_away(error), 1)
    if result == _INTERRUPTED:  # typer's own end of Ctrl-C, which says nothing
        return _fail("interrupted", _INTERRUPTED)
    return result if isinstance(result, int) else 0


def _away(error: BaseException) -> str:
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return f"{_READ_ONLY} ({error})"
    return f"the connection was lost: {error or type(error).__name__}"


def _is_unicode(argument: str) -> bool:
    """Python keeps the bytes of what is not as halves of characters, which no server takes."""
    return not any("\ud800" <= char <= "\udfff" for char in argument)


def _fail(message: str, code: int) -> int:
    """Says why in one line; a help page that typer hands over as a message stays as it is."""
    if message:  # none where typer printed a help page itself
        typer.echo(message if message.startswith(("Usage:", " Usage:")) else f"threadmill: {message}", err=True)
    return code


if __name__ == "__main__":
    main()
