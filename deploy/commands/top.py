"""`threadmill top`: the service, live in a terminal."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from deploy import context
from deploy.errors import CommandError
from deploy.frames import Frame, Watch, document_of_frame, watching
from deploy.screen import draw
from shared.settings import Settings

app = typer.Typer(add_completion=False)

_WIDE = 120  # columns where there is no terminal


@app.command(epilog="Example:  threadmill top --interval 1")
def command(
    interval: Annotated[float, typer.Option("--interval", min=0.2, max=3_600, help="Seconds between frames.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One frame, and no keys.")] = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show rates, backlog, latencies, runs, workers, partitions and problems, anew every few seconds.

    q leaves, p stops and goes on. Without a terminal, or with --once or --json, it is one frame: exit 1 where Postgres
    or Redis is away.
    """
    settings = context.resolve(data)
    if not (once or as_json) and sys.stdin.isatty() and sys.stdout.isatty():
        asyncio.run(_live(settings, interval))
        return
    if not (once or as_json):
        typer.echo("no terminal: this is one frame", err=True)
    frame = asyncio.run(_look(settings))
    if as_json:
        context.print_json(document_of_frame(frame))
    else:
        Console(width=None if sys.stdout.isatty() else _WIDE).print(draw(frame, ""))
    if frame.errors:
        raise CommandError("; ".join(f"{server} is away: {why}" for server, why in frame.errors.items()))


async def _look(settings: Settings) -> Frame:
    async with watching(settings) as watch:
        return await watch.look()


@dataclass(slots=True)
class Keys:
    """What was typed: `q` leaves, `p` stops and goes on."""

    left: asyncio.Event = field(default_factory=asyncio.Event)
    pressed: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False

    def read(self) -> None:
        typed = os.read(sys.stdin.fileno(), 64)
        if not typed or b"q" in typed.lower():
            self.left.set()
        if typed.lower().count(b"p") % 2:
            self.stopped = not self.stopped
        self.pressed.set()

    def leave(self) -> None:
        self.left.set()
        self.pressed.set()


async def _live(settings: Settings, interval: float) -> None:
    """Frame by frame until somebody leaves; whoever is away is shown as such, and looked for again."""
    console, keys = Console(), Keys()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, keys.leave)
    with _unbuffered(), Live(Text("…"), console=console, screen=True, auto_refresh=False) as live:
        loop.add_reader(sys.stdin.fileno(), keys.read)
        try:
            async with watching(settings) as watch:
                await _frames(watch, live, keys, interval)
        finally:
            loop.remove_reader(sys.stdin.fileno())


async def _frames(watch: Watch, live: Live, keys: Keys, interval: float) -> None:
    frame = None
    while not keys.left.is_set():
        if frame is None or not keys.stopped:
            looking = asyncio.create_task(watch.look())
            leaving = asyncio.create_task(keys.left.wait())
            try:
                await asyncio.wait((looking, leaving), return_when=asyncio.FIRST_COMPLETED)
                if not looking.done():
                    return
                frame = looking.result()
            finally:
                looking.cancel()
                leaving.cancel()
                await asyncio.gather(looking, leaving, return_exceptions=True)
        note = "stopped: p goes on, q leaves" if keys.stopped else f"every {interval:g} s: q leaves, p stops"
        live.update(draw(frame, note, live.console.height), refresh=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(interval):
                await keys.pressed.wait()
        keys.pressed.clear()


@contextmanager
def _unbuffered() -> Iterator[None]:
    """The terminal gives each key at once and does not show it."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
