"""`threadmill doctor`: what is wrong with the service, why, and what to do next."""

import asyncio
from typing import Any

import typer

from deploy import context
from shared import inspect, words
from shared.db.connect import AWAY, open_pool
from shared.db.way import Misconfigured
from shared.inspect.doctor import CONFIRM, Doctor
from shared.inspect.problems import Problem, Severity
from shared.keys import Keys
from shared.queue import open_redis
from shared.settings import Settings

app = typer.Typer(add_completion=False)

_REDIS_TIMEOUT = 2.0  # seconds; a person waits for it


@app.command(epilog="Example:  threadmill doctor --json")
def command(data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """Name each problem with its cause and its next step. Exit 1 where there is an error or a warning, else 0.

    Works also while Postgres or Redis is away. What somebody wanted so (a pause) is shown, as an info.
    """
    found = asyncio.run(_look(context.resolve(data)))
    well = all(one.severity is Severity.INFO for one in found)
    if as_json:
        context.print_json({"well": well, "problems": [document_of(one) for one in found]})
    else:
        _show(found)
    if not well:
        raise typer.Exit(1)


def document_of(problem: Problem) -> dict[str, Any]:
    """One problem as JSON. `since` is seconds."""
    return {
        "code": problem.code,
        "severity": problem.severity,
        "what": problem.what,
        "since": problem.since,
        "evidence": list(problem.evidence),
        "cause": problem.cause,
        "next_step": problem.next_step,
    }


async def _look(settings: Settings) -> list[Problem]:
    pool = await open_pool(settings.database_url, size=1)
    redis = open_redis(settings.redis_url, _REDIS_TIMEOUT)
    doctor = Doctor(pool, redis, Keys(settings.redis_prefix), settings)
    try:
        try:
            await inspect.bound(pool)
        except AWAY as error:  # which is then the first problem
            if isinstance(error, Misconfigured):
                raise
        found = await doctor.diagnose()
        if doctor.suspects:  # of what must last to be a problem one look says nothing
            await asyncio.sleep(CONFIRM)
            found = await doctor.diagnose()
        return found
    finally:
        await redis.aclose()
        pool.terminate()


def _show(found: list[Problem]) -> None:
    if not found:
        typer.echo("All is well.")
    for one in found:
        since = f" (for {words.age(one.since)})" if one.since is not None else ""
        typer.echo(context.plain(f"{one.severity:<8} {one.code}: {one.what}{since}"))
        for line in one.evidence:
            typer.echo(context.plain(f"           {line}"))
        typer.echo(f"  cause:   {one.cause}")
        typer.echo(f"  do next: {one.next_step}\n")
