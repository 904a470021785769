"""A run on a terminal: its text on standard output as it comes, all else as lines on standard error.

Control codes of a terminal are not passed on: what a model says must not move a cursor.
"""

import json

import typer
from rich.console import Console
from rich.text import Text

from deploy import context, words
from worker.runners.contents import Shown, Weighed
from worker.runners.outputs import (
    Checkpoint,
    Custom,
    MessageEnd,
    PermissionRequest,
    TextDelta,
    ThinkingDelta,
    ToolCompleted,
    ToolStarted,
    Usage,
)


class Transcript:
    """`quiet`: only what asks and what explains a failure is shown."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._aside = Console(stderr=True, highlight=False, soft_wrap=True)
        self._open: str | None = None  # the type of output whose line is not ended

    def show(self, output: Shown) -> None:
        if self._quiet:
            return
        match output:
            case TextDelta(text):
                self._continue(output.type)
                typer.echo(context.plain(text), nl=False)
            case ThinkingDelta(text):
                self._continue(output.type)
                self._aside.print(Text(context.plain(text), style="dim"), end="")
            case MessageEnd():
                self.end()
            case _:
                self.note(_line(output))

    def note(self, line: str) -> None:
        """A line of its own, about the run."""
        if not self._quiet:
            self.end()
            self._aside.print(Text(f"· {words.short(context.plain(line), 400)}", style="cyan"))

    def ask(self, request: PermissionRequest) -> None:
        self.end()
        tool = f"\n  {request.tool} {_json(request.input)}" if request.tool else ""
        self._aside.print(Text(f"? {context.plain(request.title + tool)}", style="bold"))
        self.prompt("Allow it? (y/n) ")

    def prompt(self, question: str) -> None:
        self._aside.print(Text(question), end="")

    def block(self, text: str) -> None:
        """Several lines that explain a failure."""
        self.end()
        self._aside.print(Text(context.plain(text), style="dim"), end="")

    def end(self) -> None:
        """Ends the line that text stands on."""
        if self._open == "text_delta":
            typer.echo()
        elif self._open is not None:
            self._aside.print()
        self._open = None

    def _continue(self, kind: str) -> None:
        if self._open not in {None, kind}:
            self.end()
        self._open = kind


def _line(output: Shown) -> str:
    match output:
        case ToolStarted(_, name, given):
            return f"uses {name} {_json(given)}"
        case ToolCompleted(_, told, error):
            return f"{'failed' if error else 'done'}: {told or ''}"
        case PermissionRequest(key, title):
            return f"asks ({key}): {title}"
        case Checkpoint(state):
            return f"checkpoint: {_json(state)}"
        case Usage(taken, given):
            return f"used {taken} tokens in, {given} out"
        case Custom(name, data):
            return f"{name}: {_json(data)}"
        case Weighed(name, kind, size):
            return f"file {name} ({kind}, {size} bytes)"
    return output.type


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
