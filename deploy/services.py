"""The api and worker processes of a `threadmill dev`: how they are started, and when they are ready."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from deploy import ports
from deploy.children import Command
from deploy.errors import CommandError
from deploy.supervisor import Child, Supervisor

_SECONDS = 5.0  # to end in after SIGTERM; with the servers' time below the ten that `dev` promises
_DRAIN = "4"  # seconds for requests under way, within those
_READY = 30.0  # seconds to become ready in; a healthy start takes one or two
_LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Service:
    child: Child
    url: str


def api_url(port: int) -> str:
    """Where the api is reached: on the address it was told to listen on, else on this machine."""
    host = os.environ.get("THREADMILL_HOST", ports.HOST)
    return f"http://{ports.HOST if host in ('', '0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared, not bound


def start_apis(supervisor: Supervisor, count: int, port: int, values: Mapping[str, str]) -> list[Service]:
    """Several share the port: the kernel deals out the connections."""
    options = ("--reuse-port",) if count > 1 else ()
    environment = {**values, "THREADMILL_PORT": str(port)}
    return [
        Service(supervisor.start(_command(_name("api", n, count), "api", options, environment)), api_url(port))
        for n in range(count)
    ]


def start_workers(supervisor: Supervisor, count: int, values: Mapping[str, str]) -> list[Service]:
    """Each has a port of its own for its health and metrics."""
    return [_start_worker(supervisor, _name("worker", n, count), values) for n in range(count)]


async def until_ready(services: list[Service]) -> None:
    """Raises CommandError where one of them ends, or is not ready in time."""
    deadline = time.monotonic() + _READY
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        for service in services:
            while not await _is_ready(session, service.url):
                _check(service.child, deadline)
                await asyncio.sleep(_LOOK_EVERY)
    for service in services:
        _check(service.child, deadline)


def _start_worker(supervisor: Supervisor, name: str, values: Mapping[str, str]) -> Service:
    port = ports.pick()
    command = _command(name, "worker", ("--role", "all"), {**values, "THREADMILL_WORKER_PORT": str(port)})
    return Service(supervisor.start(command), f"http://{ports.HOST}:{port}")


def _name(kind: str, number: int, count: int) -> str:
    return kind if count == 1 else f"{kind} {number + 1}"


def _command(name: str, module: str, options: tuple[str, ...], values: Mapping[str, str]) -> Command:
    """`-P`: a directory called `api` where the user stands is not ours."""
    return Command(
        name=name,
        argv=(sys.executable, "-P", "-m", module, *options),
        env={**os.environ, "THREADMILL_DRAIN_TIMEOUT": _DRAIN, **values},
        seconds=_SECONDS,
    )


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _check(child: Child, deadline: float) -> None:
    code = child.process.poll()
    if code is not None:
        raise CommandError(f"{child.command.name} ended with {code} before it was ready; its reason stands above")
    if time.monotonic() > deadline:
        raise CommandError(f"{child.command.name} was not ready after {_READY:.0f} s")
