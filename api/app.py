"""Puts the api together: its servers, the inbox, the handlers, the routes.

Nothing here needs Postgres or Redis to be there: a process that starts without them serves as soon as they come.
"""

from collections.abc import AsyncIterator

from aiohttp import web

from api.agents import Agents
from api.auth import Tokens
from api.console.console import Console
from api.console.files import read_files
from api.console.login import Login
from api.console.output import Output
from api.console.runs import Doings
from api.console.servers import open_servers
from api.follow import Hub
from api.gate import Gate
from api.handlers.cortex_runs import CortexRuns
from api.handlers.cortex_threads import CortexThreads
from api.handlers.door import Door
from api.handlers.events import Events
from api.handlers.files import Files
from api.handlers.health import Health
from api.handlers.openai_messages import Messages
from api.handlers.openai_runs import OpenAIRuns
from api.handlers.openai_stream import RunStreams
from api.handlers.openai_threads import OpenAIThreads
from api.handlers.runs import Runs
from api.handlers.stream import EventStream
from api.handlers.threads import Threads
from api.heartbeat import Heartbeat
from api.inbox import Inbox
from api.operator import Operator
from api.postgres import Postgres, Writes
from api.reference.files import documents
from api.routes import console_routes, cortex_routes, document_routes, file_routes, openai_routes, routes
from api.standby import heard
from api.tracing import Tracing
from shared.db.connect import open_pool
from shared.files.keeping import Keeping
from shared.files.opening import open_storage
from shared.files.pace import Pace
from shared.redis_state import RedisState
from shared.settings import Settings

HEARTBEAT = web.AppKey("heartbeat", Heartbeat)  # begins when it is told where the api listens


async def create_app(settings: Settings, tracing: Tracing | None = None) -> web.Application:
    """The application, not started: its servers are opened here, its loops begin with it and end behind it.

    Raises StorageUnusable.
    """
    pool = await open_pool(settings.database_url)
    postgres = Postgres(pool)
    storage = open_storage(settings.files)
    writes = await open_pool(settings.database_url, bound=heard)
    keeping = Keeping(settings, Writes(writes), storage, Pace(settings.file_rate))
    inbox, hub, gate = Inbox(settings, pool, tracing), Hub(settings), Gate(settings, postgres)
    redis = RedisState(settings)
    health = Health(pool, redis)
    heartbeat = Heartbeat(settings, inbox.name, lambda: hub.open_streams, hub.clock)
    console = Console(settings, await open_servers(settings), read_files())

    async def servers(_: web.Application) -> AsyncIterator[None]:
        await inbox.start()
        await hub.start()
        await gate.start()
        heartbeat.start()
        yield
        await heartbeat.close()
        await console.close()
        await gate.close()
        await hub.close()
        await inbox.close()
        await redis.close()
        await storage.close()
        writes.terminate()
        pool.terminate()

    app = build_app(settings, inbox, hub, gate, postgres, health, keeping)
    add_console(app, console, Operator(inbox, postgres), Output(console, hub, postgres))
    app.cleanup_ctx.append(servers)
    app[HEARTBEAT] = heartbeat
    return app


def build_app(
    settings: Settings, inbox: Inbox, hub: Hub, gate: Gate, postgres: Postgres, health: Health, keeping: Keeping
) -> web.Application:
    """Handlers over servers that are given."""
    door = Door(settings, inbox, postgres, Tokens(postgres, settings), Agents(postgres), gate)

    async def drain(_: web.Application) -> None:
        health.drain()
        inbox.hurry()
        hub.hurry()

    app = web.Application()
    app.add_routes(routes(Threads(door), Events(door), EventStream(door, hub), Runs(door), health))
    app.add_routes(file_routes(Files(door, keeping)))
    app.add_routes(document_routes(documents()))
    app.add_routes(cortex_routes(CortexThreads(door), CortexRuns(door, hub)))
    app.add_routes(openai_routes(OpenAIThreads(door), Messages(door), OpenAIRuns(door, RunStreams(door, hub))))
    app.on_shutdown.append(drain)
    return app


def add_console(app: web.Application, console: Console, operator: Operator, output: Output) -> None:
    """The operator's pages; their streams end with the first word of a shutdown."""

    async def stop(_: web.Application) -> None:
        console.live.stop()

    app.add_routes(console_routes(console, Login(console), Doings(operator), output))
    app.on_shutdown.append(stop)
