"""`/healthz`, `/readyz` and `/metrics` of a worker, on a port of its own."""

from dataclasses import dataclass

from aiohttp import web

from shared.exposition import exposition
from shared.settings import Settings
from worker.crew import Crew


@dataclass(slots=True)
class Health:
    runner: web.AppRunner
    port: int

    async def close(self) -> None:
        await self.runner.cleanup()


async def serve(settings: Settings, crew: Crew) -> Health:
    """Listens on `worker_host`:`worker_port` (0: any free port)."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "worker": crew.id})

    async def readyz(_: web.Request) -> web.Response:
        report = await crew.report()
        return web.json_response(report, status=200 if report["postgres"] == "ok" else 503)

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, settings.worker_host, settings.worker_port)
    await site.start()
    return Health(runner, runner.addresses[0][1])
