"""A deployment as an operator makes it, of the built image: migrate, start, use, stop. Prints what it saw, as JSON.

`python -m tests.deploy.tour DIRECTORY` runs in a network of its own, so that the image may listen on all addresses as
it does in a container. Judging is the tests' (test_image.py).
"""

import asyncio
import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from deploy import children, embedded
from shared.db.connect import connect
from tests.deploy.containers import Container, Engine
from tests.service import FORM, form_of, said

_API, _WORKER = (
    "http://127.0.0.2:8080",
    "http://127.0.0.2:9080",
)  # not the address that a process of one machine would take
_PATIENCE = 30.0  # seconds
_LOOK_EVERY = 0.02
_TRIED = """
for place in / /opt/threadmill /var/lib/threadmill /tmp /var/lib/threadmill/files; do
    touch $place/tried 2>/dev/null && echo $place
done; rm -f /var/lib/threadmill/files/tried; id -u
grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; echo home=${HOME:-}
"""


@dataclass
class Tour:
    engine: Engine
    http: aiohttp.ClientSession
    database_url: str
    seen: dict[str, Any] = field(default_factory=dict)

    async def until(self, look: Callable[[], Any], what: str) -> Any:
        began = time.monotonic()
        while not (found := await look()):
            if time.monotonic() - began > _PATIENCE:
                raise TimeoutError(what)
            await asyncio.sleep(_LOOK_EVERY)
        return found

    async def status(self, url: str) -> int | None:
        try:
            async with self.http.get(url, allow_redirects=False) as answer:
                return answer.status
        except aiohttp.ClientError:
            return None

    async def started(self, *command: str, url: str, init: bool = True) -> tuple[Container, float]:
        """A container that is ready, and the seconds that this took."""
        began = time.monotonic()
        container = self.engine.start(*command, init=init)

        async def ready() -> bool:
            return await self.status(f"{url}/readyz") == 200

        await self.until(ready, f"{command} is not ready")
        return container, time.monotonic() - began

    async def connections(self) -> int:
        """Those to Postgres but for the one that asks."""
        database = await connect(self.database_url)
        count = await database.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        )
        await database.close()
        return int(count)

    def before(self) -> None:
        """What needs no service: the version, the migrations, who it is and where it may write."""
        run = self.engine.run
        self.seen["version"] = run("threadmill", "--version").strip()
        run("threadmill", "--help")  # imports every command
        self.seen["migrated"] = [len(json.loads(run("threadmill", "migrate", "--json"))["applied"]) for _ in range(2)]
        self.seen["tried"] = run("sh", "-c", _TRIED).splitlines()

    def tokens(self) -> tuple[str, dict[str, str]]:
        """Of an account with two agents: a secret, and the agents' ids."""
        run = self.engine.run
        run("threadmill", "account", "create", "acme", "--json")
        made = json.loads(run("threadmill", "token", "create", "--account", "acme", "--json"))
        ids = {}
        configs = {
            "echo": {"function": "worker.runners.demo:echo"},
            "leaving": {"function": "leaving:run", "isolation": "process"},
        }
        for name, config in configs.items():
            told = ("--account", "acme", "--runner", "python", "--config", json.dumps(config), "--publish", "--json")
            ids[name] = json.loads(run("threadmill", "agent", "create", name, *told))["id"]
        return made["secret"], ids

    async def run_of(self, agent: str, text: str) -> str:
        """The path of a run that was asked for."""
        async with self.http.post(f"{_API}/api/v1/agents/{agent}/threads", json={"input": said(text)}) as answer:
            made = await answer.json()
            assert answer.status == 201, made
            return f"{_API}{made['links']['thread']}/runs/{made['run']['id']}"

    async def over(self, path: str) -> str:
        """How a run ended."""

        async def ended() -> str | None:
            async with self.http.get(path) as answer:
                found = await answer.json()
            return found["status"] if found["status"] in {"completed", "failed", "cancelled"} else None

        return str(await self.until(ended, f"{path} does not end"))

    async def pages(self) -> None:
        """One of each kind of file that is in the wheel beside the modules."""
        paths = ("/docs", "/console/login", "/api/v1/openapi.json", "/metrics", "/healthz")
        self.seen["pages"] = {path: await self.status(_API + path) for path in paths}
        async with self.http.get(f"{_API}/console/login") as answer:
            page = await answer.text()
        linked = [word.split('"')[0] for word in page.replace('href="', 'src="').split('src="')[1:]]
        self.seen["static"] = {path: await self.status(_API + path) for path in linked if path.startswith("/")}

    async def file(self, agent: str) -> None:
        url = f"{_API}/api/v1/agents/{agent}/files"
        headers = {name.replace("_", "-"): value for name, value in FORM.items()}
        async with self.http.post(url, data=form_of(b"ship it"), headers=headers) as answer:
            made = await answer.json()
            assert answer.status == 201, made
        async with self.http.get(f"{_API}/api/v1/files/{made['file']['id']}/content") as answer:
            self.seen["file"] = (await answer.read()).decode()
        held = [path for path in self.engine.files.rglob("*") if path.is_file()]
        self.seen["volume"] = [path.stat().st_uid for path in held]

    async def end_worker(self, worker: Container, agent: str) -> str:
        """While it executes a run, whose path comes back: the next worker takes it from its last checkpoint."""
        path = await self.run_of(agent, "/slow 2")

        async def running() -> bool:
            async with self.http.get(path) as answer:
                return bool((await answer.json())["status"] == "running")

        await self.until(running, "the slow run does not begin")
        began = time.monotonic()
        code = await asyncio.to_thread(worker.stop, 30)
        self.seen["worker stopped"] = [code, time.monotonic() - began]
        return path

    async def end_api(self, api: Container, agent: str) -> None:
        """While half of a request is there, and a new one is tried beside it."""
        body = json.dumps({"input": said("half")}).encode()
        head = f"POST /api/v1/agents/{agent}/threads HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Authorization: {self.http.headers['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.2", 8080)
        writer.write(head.encode() + body[:10])
        await writer.drain()
        await asyncio.sleep(0.2)  # it is in the handler by then
        began = time.monotonic()
        stopped = asyncio.create_task(asyncio.to_thread(api.stop, 30))

        async def refused() -> bool:
            return await self.status(f"{_API}/readyz") in {None, 503}

        await self.until(refused, "a stopping api takes new requests")
        self.seen["api refuses after"] = time.monotonic() - began
        writer.write(body[10:])
        self.seen["half answered"] = (await reader.read()).decode().split(maxsplit=2)[1:]
        writer.close()
        self.seen["api stopped"] = [await stopped, time.monotonic() - began]

    async def whole(self) -> None:
        self.before()
        secret, agents = self.tokens()
        self.http.headers["Authorization"] = f"Bearer {secret}"
        idle = await self.connections()
        api, self.seen["api ready after"] = await self.started(url=_API)
        self.seen["probed"] = self.engine.start("python", "-I", "-m", "deploy.probe", "/readyz").engine.wait(10)
        execute = ("python", "-m", "worker")
        worker, self.seen["worker ready after"] = await self.started(*execute, url=_WORKER)
        await self.pages()
        await self.file(agents["echo"])
        paths = [await self.run_of(agents["echo"], f"number {n}") for n in range(50)]
        self.seen["runs"] = sorted({await self.over(path) for path in paths})
        self.seen["left behind"] = await self.over(await self.run_of(agents["leaving"], "go"))
        await asyncio.sleep(1)  # the first of the two that it left has ended by then
        self.seen["zombies"] = worker.zombies()
        self.seen["connections"] = await self.connections() - idle
        self.seen["memory"] = {"api": api.memory(), "worker": worker.memory()}
        handed_over = await self.end_worker(worker, agents["echo"])
        worker = await self.without_init(execute, agents["leaving"])
        self.seen["handed over"] = await self.over(handed_over)
        await self.end_api(api, agents["echo"])
        worker.kill()
        self.seen["probed without"] = self.engine.start("python", "-I", "-m", "deploy.probe").engine.wait(10)

    async def without_init(self, command: tuple[str, ...], agent: str) -> Container:
        """The control: the same with the worker as process 1."""
        worker, _ = await self.started(*command, url=_WORKER, init=False)
        await self.over(await self.run_of(agent, "go"))
        await asyncio.sleep(1)
        self.seen["zombies without tini"] = worker.zombies()
        return worker


@asynccontextmanager
async def servers(directory: Path) -> AsyncIterator[tuple[str, str]]:
    """A Postgres and a Redis for this tour alone."""
    postgres = await embedded.start_postgres(directory / "postgres" / "data", 5432, secrets.token_hex(8))
    try:
        redis = await embedded.start_redis(directory, 6379, secrets.token_hex(8))
        try:
            yield postgres.url, redis.url
        finally:
            await children.end(redis.process, redis.command)
    finally:
        await children.end(postgres.process, postgres.command)


async def main(directory: Path) -> None:
    root = directory / "final" / "root"
    files, runners = directory / "files", directory / "runners"
    for made in (files, runners, directory / "postgres"):
        made.mkdir()
    shutil.chown(files, 10001, 10001)  # as an engine makes a volume of the image's directory
    files.chmod(0o750)
    shutil.copy(Path(__file__).with_name("leaving.py"), runners)
    async with servers(directory) as (database_url, redis_url), aiohttp.ClientSession() as http:
        told = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PYTHONPATH": "/srv"}
        tour = Tour(Engine(root, files, runners, told), http, database_url)
        await tour.whole()
    sys.stdout.write(json.dumps(tour.seen))


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    asyncio.run(main(Path(sys.argv[1])))
