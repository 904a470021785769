"""`threadmill agent test`: one run of an agent in this process, from its stored configuration.

What the run says goes to standard output, everything else to standard error. Refused here: storing anything; the
connection that read the agent is closed before the run begins.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from deploy import context
from deploy.errors import CommandError, SetupError
from deploy.transcript import Transcript
from shared import ids
from shared.agents import Agent
from shared.errors import InvalidRequest
from worker.runners import registry
from worker.runners.contents import Shown
from worker.runners.context import Context, Decision, Message, Verdict
from worker.runners.drive import Ended, Resumes, Waits, Yielded, drive
from worker.runners.failing import RunnerError
from worker.runners.files import Files
from worker.runners.localfiles import LocalShelf
from worker.runners.outputs import PermissionRequest, TextDelta, Usage
from worker.runners.registry import ConfigError, Surroundings

_LETTING_GO = 1.0  # seconds for a runner's tasks to end after it was stopped


class Deciding(StrEnum):
    ASK = "ask"
    ALLOW = "allow"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Wishes:
    decide: Deciding
    timeout: float | None
    as_json: bool
    data: Path | None
    files: tuple[Path, ...] = ()  # attached to what the user says
    save: Path | None = None  # where files go that the run makes; None: nowhere


@dataclass(slots=True)
class Result:
    """What `--json` prints, in the end."""

    status: str = "cancelled"
    error: RunnerError | None = None
    outputs: list[Shown] = field(default_factory=list)

    def why(self) -> str:
        """Why it did not complete, in one line."""
        error = self.error
        return "interrupted" if error is None else f"{error.code}: {' '.join(context.plain(error.message).split())}"

    def document(self) -> dict[str, Any]:
        used = [output for output in self.outputs if isinstance(output, Usage)]
        error = self.error
        return {
            "status": self.status,
            "text": "".join(output.text for output in self.outputs if isinstance(output, TextDelta)),
            "outputs": [asdict(output) for output in self.outputs],
            "error": error and {"code": error.code, "message": error.message, "retryable": error.retryable},
            "usage": {
                "input_tokens": sum(one.input_tokens for one in used),
                "output_tokens": sum(one.output_tokens for one in used),
            },
        }


def perform(find: Callable[[], Awaitable[Agent]], text: str, wishes: Wishes) -> None:
    """Finds the agent and tries it. Raises CommandError where the run does not complete, SetupError where it can't
    begin, typer.Abort after Ctrl-C, once the runner had its time to stop.
    """
    result = Result()
    try:
        asyncio.run(_perform(find, text, wishes, result))
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Abort from None
    if result.error is not None:
        raise CommandError(result.why())


async def _perform(find: Callable[[], Awaitable[Agent]], text: str, wishes: Wishes, result: Result) -> None:
    agent = await find()
    with _place(wishes) as place:
        ctx = _context(agent, text, _shelf(wishes, place))
        await _show(agent, ctx, wishes, result)


async def _show(agent: Agent, ctx: Context, wishes: Wishes, result: Result) -> None:
    transcript, refused = Transcript(quiet=wishes.as_json), False
    try:
        await _run(agent, ctx, wishes, result, transcript)
    except CommandError:
        refused = True
        raise
    finally:
        transcript.end()
        if wishes.as_json and not refused:
            context.print_json(result.document())
        await _let_go(result)


async def _run(agent: Agent, ctx: Context, wishes: Wishes, result: Result, transcript: Transcript) -> None:
    settings = context.resolve(wishes.data)
    try:
        runner = registry.open_runner(agent.runner, agent.config, Surroundings(settings.private_endpoints))
    except ConfigError as error:
        raise SetupError(f"the agent's configuration is wrong: {error}") from error
    except RunnerError as error:
        result.status, result.error = "failed", error
        return
    timeout = wishes.timeout or agent.run_timeout or settings.run_timeout
    decide = _decider(wishes.decide, transcript)
    happenings = drive(runner, ctx, decide=decide, timeout=timeout, on_expired=agent.on_expired.value)
    async with aclosing(happenings):
        async for happening in happenings:
            match happening:
                case Yielded(output):
                    result.outputs.append(output)
                    transcript.show(output)
                case Waits(requests):
                    transcript.note(f"waits; open requests: {len(requests)}")
                case Resumes(decisions):
                    for key, decision in decisions.items():
                        transcript.note(f"{key}: {decision.verdict}")
                case Ended():
                    result.status, result.error = happening.status, happening.error
                    _explain(happening.error, transcript)


@contextmanager
def _place(wishes: Wishes) -> Iterator[Path]:
    """The directory for what the run makes; one that nobody named goes with it."""
    if wishes.save is not None:
        yield wishes.save
        return
    with TemporaryDirectory(prefix="threadmill-") as made:
        yield Path(made)


def _shelf(wishes: Wishes, place: Path) -> LocalShelf:
    """Raises SetupError for a file that can't be attached."""
    try:
        return LocalShelf(wishes.files, datetime.now(UTC), place)
    except (OSError, InvalidRequest) as error:
        raise SetupError(f"--file: {error}") from error


def _context(agent: Agent, text: str, shelf: LocalShelf) -> Context:
    """As a worker would make it; its thread has no history."""
    return Context(
        thread=ids.mint(),
        run=ids.mint(),
        account=agent.account,
        agent=agent.id,
        messages=(Message(ids.mint(), "user", text, datetime.now(UTC), files=shelf.ids),),
        files=Files(shelf),
        config=agent.config,
    )


def _decider(deciding: Deciding, transcript: Transcript) -> Callable[[PermissionRequest], Awaitable[Decision]]:
    async def decide(request: PermissionRequest) -> Decision:
        if deciding is not Deciding.ASK:
            return Decision(Verdict.ALLOWED if deciding is Deciding.ALLOW else Verdict.REJECTED)
        return await _ask(request, transcript)

    return decide


async def _ask(request: PermissionRequest, transcript: Transcript) -> Decision:
    """Asks the user. Raises SetupError where there is none."""
    if not sys.stdin.isatty():
        raise SetupError("the agent asks for a permission: say --decide allow or reject, or run it in a terminal")
    transcript.ask(request)
    while (answer := (await _line()).strip().lower()) not in {"y", "yes", "n", "no"}:
        transcript.prompt("y or n? ")
    transcript.prompt("A note for the agent (empty: none): ")
    note = (await _line()).strip() or None
    return Decision(Verdict.ALLOWED if answer.startswith("y") else Verdict.REJECTED, note)


async def _line() -> str:
    """A line of standard input; waiting for it can be cancelled. Raises CommandError at its end."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin)
    line = sys.stdin.readline()
    if not line:
        raise CommandError("standard input ended before the permission was decided")
    return line


def _explain(error: RunnerError | None, transcript: Transcript) -> None:
    """The traceback of what the author's code raised: here its author reads along."""
    cause = None if error is None else error.__cause__
    if cause is not None and not isinstance(cause, RunnerError):
        transcript.block("".join(traceback.format_exception(cause)))


async def _let_go(result: Result) -> None:
    """Ends the process where the runner does not let it go: asyncio would wait for its tasks for ever."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others and (await asyncio.wait(others, timeout=_LETTING_GO))[1]:
        typer.echo(f"threadmill: {result.why()}; the runner does not stop, the process ends without it", err=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if result.error else 130)
