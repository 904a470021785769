"""`threadmill dev`: the whole service on this machine, for trying and for developing."""

import typer

app = typer.Typer()


def command() -> None:
    """Start Postgres, Redis, the api and a worker."""
