"""The service as several apis and workers on one machine, seen as one subject: load and figures are those of all.

The first api and the first worker are named `api` and `worker`, as those of a single pair; the next ones `api-2`, ….
"""

import asyncio
from collections.abc import Mapping

from bench.subjects import Service, Via
from deploy import ports


class Fleet(Service):
    def __init__(self, over: Service) -> None:
        """On the database and the threads of a service that is not running now."""
        super().__init__(over.stack, over.database_url, over.db)
        self.owner, self.token = over.owner, over.token
        self.partitions, self.threads = over.partitions, over.threads
        self.ports: list[int] = []  # of the apis
        self.worker_ports: list[int] = []

    async def start_all(self, apis: int, workers: int, role: str = "apply", **settings: str) -> None:
        """Workers first, as `start` does. Raises NotReady."""
        await self.start_workers(workers, role, **settings)
        await self.start_apis(apis, **settings)

    async def start_workers(self, workers: int, role: str = "apply", **settings: str) -> None:
        """All at once: returns when the last one is ready. Raises NotReady."""
        self.worker_ports = [ports.pick() for _ in range(workers)]
        for n, port in enumerate(self.worker_ports):
            self._launch(
                _name("worker", n), "worker", {"THREADMILL_WORKER_PORT": str(port), **settings}, "--role", role
            )
        await self._ready("worker", self.worker_ports)

    async def start_apis(self, apis: int, **settings: str) -> None:
        """As `start_workers`. Raises NotReady."""
        self.ports = [ports.pick() for _ in range(apis)]
        for n, port in enumerate(self.ports):
            self._launch(_name("api", n), "api", {"THREADMILL_PORT": str(port), **settings})
        await self._ready("api", self.ports)
        self.port = self.ports[0]

    async def _ready(self, what: str, listening: list[int]) -> None:
        for n, port in enumerate(listening):
            await self.programs[_name(what, n)].until_ready(f"http://127.0.0.1:{port}/readyz")

    async def until_drained(self, batches: int, patience: float) -> None:
        """Waits until so many of its own account's batches are applied. Raises TimeoutError."""
        async with asyncio.timeout(patience):
            while not await self.db.fetchval(self.tables["backlog_drained"], self.owner.account, batches):  # noqa: ASYNC110 - nothing in here would tell
                await asyncio.sleep(0.5)

    async def via(self) -> Via:
        """Of all workers together."""
        found = Via()
        for port in self.worker_ports:
            self.worker_port = port
            one = await super().via()
            found = Via(found.arq + one.arq, found.sweep + one.sweep)
        return found


def _name(what: str, n: int) -> str:
    return what if not n else f"{what}-{n + 1}"


def together(figures: Mapping[str, float]) -> dict[str, float]:
    """What the processes of a kind came to: `worker` and `worker-2` as one."""
    found: dict[str, float] = {}
    for name, value in figures.items():
        kind = name.partition("-")[0]
        found[kind] = found.get(kind, 0.0) + value
    return found
