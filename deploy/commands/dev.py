"""`threadmill dev`: the whole service on this machine, for trying and for developing."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deploy import context, dev
from deploy.devfile import DEFAULT_DIRECTORY

app = typer.Typer(add_completion=False)


class CortexShapes(StrEnum):
    """Which published form of the Cortex answers is spoken."""

    DOCUMENTED = "documented"
    LIVE = "live"


@app.command()
def command(
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the HTTP api on 127.0.0.1. 0: that of the last start, else any free one.",
        ),
    ] = 8080,
    data: Annotated[
        Path, typer.Option(help="Directory for Postgres' files and dev.json; made where it is missing.")
    ] = DEFAULT_DIRECTORY,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Number of worker processes.")] = 1,
    apis: Annotated[int, typer.Option(min=1, max=64, help="Number of api processes; they share the port.")] = 1,
    cortex_shapes: Annotated[
        CortexShapes, typer.Option(help="The form of the Cortex answers: as published, or as the live service answers.")
    ] = CortexShapes.DOCUMENTED,
    as_json: context.JsonOption = False,
) -> None:
    """Start Postgres, Redis, the api and a worker on this machine; Ctrl-C ends all of it.

    The first start makes an account, tokens and the demo agents `echo` and `approve`, and keeps them in DIR/dev.json
    (mode 0600) with the embedded servers' password and ports; later starts use the same, and other free ports where
    those are taken. Where DATABASE_URL or REDIS_URL is set that server is used and none is embedded.

    With --json standard output holds one line once everything is ready: url, token, admin_token, agents,
    database_url, redis_url, pids. Logs go to standard error. Exit code 2: the environment is not right, and one line
    says why.
    """
    dev.run(dev.Options(port, data, workers, apis, cortex_shapes.value, as_json))
