"""The console's frame: lets operators in, answers with pages, streams their live parts, and does what was confirmed.

Whatever goes wrong is a page with the request's id, also while Postgres or Redis is away. Refused here: knowing what
any page shows.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import structlog
from aiohttp import web
from markupsafe import Markup
from redis.exceptions import RedisError

from api import edge, replies, sse
from api.console import asking, deeds, guard, navigation
from api.console.files import Files
from api.console.flash import Flash
from api.console.forms import read_form
from api.console.live import OVER, Live, Viewer
from api.console.navigation import Section
from api.console.pages import Deed, Done, Look, Page
from api.console.rendering import Rendering
from api.console.seats import Seats, TooManyViewers
from api.console.servers import Busy, PostgresAway, Servers
from api.console.sessions import LoginOver, Sessions
from api.console.visit import LIVE, SESSION, Visit
from api.sse import CONNECTED, Outlet
from shared.errors import Forbidden, InternalError, InvalidRequest, NotFound, ServiceInactive, ThreadmillError
from shared.inspect.clock import moment
from shared.logs import Seldom
from shared.settings import Settings

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Inner = Callable[[Visit], Awaitable[web.StreamResponse]]

_READ_ONLY = "You are logged in with a viewer's token, which may look and not act."


class Console:
    def __init__(self, settings: Settings, servers: Servers, files: Files) -> None:
        self._settings = settings
        self.servers = servers
        self.sessions = Sessions(servers)
        self.files = files
        self._rendering = Rendering(files.address)
        self.seats = Seats()
        self.live = Live(self.seats)
        self._complain = Seldom(log)
        self._sections: tuple[Section, ...] = ()

    def serves(self, routes: list[web.RouteDef]) -> list[web.RouteDef]:
        """Takes note of what there is to navigate to."""
        self._sections = navigation.served({route.path for route in routes if route.method == "GET"})
        return routes

    async def close(self) -> None:
        await self.live.close()
        await self.servers.close()

    # Pages

    def page(self, page: Page) -> Handler:
        """Answers with a page, and with the stream of its live part."""
        shown = self.door(partial(self._show, page))

        async def answer(request: web.Request) -> web.StreamResponse:
            return await self._follow(page, request) if page.live and LIVE in request.query else await shown(request)

        return answer

    def deed(self, path: str, deed: Deed) -> list[web.RouteDef]:
        """What asks, and what does."""
        ask, do = self.door(partial(self._ask, deed)), self.door(partial(self._do, deed))
        return [web.get(path, ask), web.post(path, do)]

    async def unknown(self, _: Visit) -> web.StreamResponse:
        raise NotFound("There is no such page.")

    async def _show(self, page: Page, visit: Visit) -> web.Response:
        values = await self._read(page, visit)
        part, stream = None, None
        if page.live:
            part = self._part(page, visit, values)
            stream = visit.address(**{LIVE: "yes"})
        values |= {"page": page, "title": values.get("title", page.title), "part": part, "stream": stream}
        return await self.answer(visit, [f"{page.name}.html", "page.html"], values)

    async def _read(self, page: Page, visit: Visit) -> dict[str, Any]:
        """What a page shows. Raises PostgresAway where it shows nothing without."""
        try:
            async with self.servers.connection() as db:
                return dict(await page.load(self._look(visit, db)))
        except PostgresAway:
            if page.without is None:
                raise
        return dict(await page.without(self._look(visit, None)))

    def _look(self, visit: Visit, db: Any, asked: datetime | None = None) -> Look:
        return Look(db, self.servers.redis, self._settings, visit.params, visit.who.may_act, asked)

    def _part(self, page: Page, visit: Visit, values: dict[str, Any]) -> Markup:
        known = {**values, "may_act": visit.who.may_act, "address": visit.address}
        return self._rendering.part(f"{page.name}.live.html", known)

    async def answer(
        self, visit: Visit, templates: list[str], values: dict[str, Any], status: int = 200
    ) -> web.Response:
        """A page in its frame."""
        away = await self.servers.redis_away()
        frame = visit.frame(self._sections, away, self.servers.postgres_away)
        body = self._rendering.page(templates, {**frame, **values}).encode()
        kind = web.Response if len(body) < replies.LARGE else replies.Large
        response = kind(body=body, status=status, headers={"Content-Type": "text/html; charset=utf-8"})
        if frame["flash"] is not None:
            visit.jar.empty(response)
        return response

    # Live parts

    async def _follow(self, page: Page, request: web.Request) -> web.StreamResponse:
        """The stream of a page's live part."""
        response = sse.response(request)
        visit = Visit(request, await self._watcher(request))
        writer = await response.prepare(request)
        if request.method == "HEAD" or writer is None or request.transport is None:
            return response
        outlet = Outlet(writer, request.transport)
        try:
            await outlet.send(CONNECTED if visit.operator is not None else OVER)
            if visit.operator is not None:
                await self._stream(page, visit, outlet)
        except ConnectionError as gone:
            log.debug("viewer lost", error=repr(gone))
        return response

    async def _watcher(self, request: web.Request) -> Any:
        """Who asks for a stream; nobody where that can't be known: its page says more when it is loaded again."""
        try:
            return await self.sessions.find(guard.cookie(request, SESSION))
        except (PostgresAway, Busy):
            return None

    async def _stream(self, page: Page, visit: Visit, outlet: Outlet) -> None:
        who = visit.who
        key = (visit.request.path, tuple(sorted(visit.query.items())), who.may_act)

        async def render() -> Markup:
            return self._part(page, visit, await self._read(page, visit))

        async def goes_on() -> bool | None:
            try:
                return await self.sessions.find(who.cookie) is not None
            except (PostgresAway, Busy):
                return None

        try:
            await self.live.follow(key, render, Viewer(outlet, who.token), goes_on)
        except TooManyViewers as full:
            await outlet.send(b"event: trouble\ndata: %b\n\n" % full.message.encode())

    # Deeds

    async def _ask(self, deed: Deed, visit: Visit) -> web.Response:
        _check_role(visit)
        return await self._question(deed, visit)

    async def _question(self, deed: Deed, visit: Visit, wrong: str | None = None) -> web.Response:
        async with self.servers.connection() as db:
            asked = await moment(db)
            question = await deed.ask(self._look(visit, db, asked))
        values = {
            "question": question,
            "title": question.title,
            "deed": deeds.mint(),
            "asked": asking.stamp(visit, asked),
            "wrong": wrong,
            "given": visit.form,
        }
        return await self.answer(visit, ["question.html"], values, 200 if wrong is None else 400)

    async def _do(self, deed: Deed, visit: Visit) -> web.StreamResponse:
        _check_role(visit)
        once = deeds.Once(self.servers, visit.who.digest, deeds.checked(visit.form.get(deeds.FIELD, "")))

        done: Done | deeds.Told | None = await once.told()
        if done is None:
            try:
                asked = asking.read(visit)
                done = await once.do(lambda db: self._work(deed, visit, db, asked), apart=deed.apart)
            except InvalidRequest as wrong:
                return await self._question(deed, visit, wrong.message)
        if isinstance(done, deeds.Told):
            return self._told_before(visit, done)
        if done.template is not None:
            return await self.answer(visit, [done.template], {"title": done.text, "done": done, **done.values})
        return self.leave(visit, done.to, Flash(text=done.text))

    async def _work(self, deed: Deed, visit: Visit, db: asyncpg.Connection | None, asked: datetime) -> Done:
        return await deed.do(self._look(visit, db, asked), visit.form, visit.who.actor)

    def _told_before(self, visit: Visit, told: deeds.Told) -> web.Response:
        if told.text is None:
            text = "This was confirmed before, and is still being done: the audit log says what came of it."
        else:
            text = f"This was confirmed before, and is not done twice. {told.text}"
        return self.leave(visit, guard.local(told.place), Flash(text=text, kind="note"))

    def leave(self, visit: Visit, to: str, flash: Flash | None = None) -> web.Response:
        """Goes on at another page, which shows the message."""
        response = web.Response(status=303, headers={"Location": to})
        if flash is not None:
            visit.jar.put(response, flash)
        return response

    # The door

    def door(self, inner: Inner) -> Handler:
        """Lets operators in, and nobody else."""
        return self.net(partial(self._enter, inner))

    def net(self, inner: Inner) -> Handler:
        """Makes a page of whatever goes wrong, whoever asks."""

        async def answer(request: web.Request) -> web.StreamResponse:
            visit = Visit(request)
            try:
                response = await inner(visit)
            except PostgresAway as error:
                response = await self._away(visit, error)
            except LoginOver:
                response = self._turn_away(visit)
            except ThreadmillError as error:
                response = await self._refuse(visit, error)
            except RedisError as error:
                log.warning("the console has no answer from Redis", error=repr(error))
                response = await self._refuse(visit, ServiceInactive("Redis does not answer."))
            except (web.HTTPException, ConnectionError):
                raise
            except Exception:  # whatever it is, the operator gets a page and the log the reason
                log.exception("console request failed", request_id=request[edge.ID], method=request.method)
                response = await self._refuse(visit, InternalError())
            return guard.finish(response)

        return answer

    async def _enter(self, inner: Inner, visit: Visit) -> web.StreamResponse:
        request = visit.request
        visit.operator = await self.sessions.find(guard.cookie(request, SESSION))
        if visit.operator is None:
            raise LoginOver
        if request.method not in {"GET", "HEAD"}:
            guard.check_origin(request)
            visit.form = await read_form(request)
            guard.check_csrf(visit.operator.cookie, visit.form.get(guard.CSRF, ""))
        return await inner(visit)

    def _turn_away(self, visit: Visit) -> web.Response:
        """To the login, and from there to the page that was asked for."""
        if visit.operator is not None:
            self.sessions.forget(visit.operator)
        to = visit.address() if visit.request.method == "GET" else guard.HOME
        return web.Response(status=303, headers={"Location": f"/console/login?to={guard.quoted(to)}"})

    async def _refuse(self, visit: Visit, error: ThreadmillError) -> web.Response:
        grave = visit.request.method == "POST" or error.status >= 500
        say: Callable[..., Any] = log.warning if grave else log.info
        if isinstance(error, Busy):  # as often as strangers like
            say = self._complain
        who = visit.operator.shown if visit.operator is not None else None
        say("console request refused", request_id=visit.request[edge.ID], status=error.status, operator=who)
        titles = {
            400: "That can't be done",
            403: "Not allowed",
            404: "Not found",
            409: "That does not fit",
            503: "Not now",
        }
        values = {"title": titles.get(error.status, "The console failed"), "error": error}
        return await self.answer(visit, ["error.html"], values, error.status)

    async def _away(self, visit: Visit, error: PostgresAway) -> web.Response:
        """What can be said without Postgres."""
        if visit.operator is None:
            values: dict[str, Any] = {"title": "Log in", "wrong": None, "to": guard.HOME, "login": None}
            return await self.answer(visit, ["login.html"], values, 503)
        values = {"title": "Postgres is away", "error": error, "posted": visit.request.method == "POST"}
        return await self.answer(visit, ["away.html"], values, 503)


def _check_role(visit: Visit) -> None:
    if not visit.who.may_act:
        raise Forbidden(_READ_ONLY)
