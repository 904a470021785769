"""Logging in with an operator's token, logging out, and the theme: what a browser keeps in its cookies.

The token comes in the body of a POST and goes no further than its SHA-256. Each login makes a session of its own,
whatever cookie the browser came with.
"""

import asyncio
import secrets

import structlog
from aiohttp import web

from api import edge
from api.console import guard
from api.console.console import Console
from api.console.forms import read_form
from api.console.servers import Busy, PostgresAway
from api.console.sessions import LIFE, Operator
from api.console.throttle import Throttle
from api.console.visit import SESSION, THEME, THEMES, Visit
from shared import tokens
from shared.errors import InvalidRequest, ThreadmillError, Unauthenticated
from shared.logs import Seldom

log = structlog.get_logger()

_FORM = "threadmill_login"  # the cookie of the login form: its CSRF token is signed with it
_FORM_LIFE = 3600  # seconds that the form may stand open
_THEME_LIFE = 365 * 86_400  # seconds


class Login:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._throttle = Throttle()
        self._complain = Seldom(log)  # who guesses does so often

    async def home(self, _: Visit) -> web.StreamResponse:
        """GET /"""
        return web.Response(status=302, headers={"Location": guard.HOME})

    async def form(self, visit: Visit) -> web.StreamResponse:
        """GET /console/login"""
        request = visit.request
        to = guard.local(request.query.get("to"))
        try:
            if await self._console.sessions.find(guard.cookie(request, SESSION)) is not None:
                return web.Response(status=303, headers={"Location": to})
            await self._console.servers.look()
        except PostgresAway:
            return await self._form(request, to, None, 503)
        except Busy:
            log.debug("a login form was given without a look")
        return await self._form(request, to)

    async def enter(self, visit: Visit) -> web.StreamResponse:
        """POST /console/login"""
        request = visit.request
        to, address = guard.HOME, request.remote or "unknown"
        try:
            guard.check_origin(request)
            form = await read_form(request)
            to = guard.local(form.get("to"))
            guard.check_csrf(guard.cookie(request, _FORM) or secrets.token_urlsafe(32), form.get(guard.CSRF, ""))
            await asyncio.sleep(self._throttle.delay(address))
            operator = await self._open(form.get("token", "").strip())
        except PostgresAway:
            return await self._form(request, to, None, 503)
        except Busy as error:
            return await self._form(request, to, error.message, error.status)
        except ThreadmillError as error:
            self._throttle.failed(address)
            self._complain("console login refused", address=address, reason=error.message, request_id=request[edge.ID])
            return await self._form(request, to, error.message, error.status)
        log.info("console login", operator=operator.shown, address=address)
        return await self._let_in(request, operator, to)

    async def leave(self, visit: Visit) -> web.StreamResponse:
        """POST /console/logout"""
        response = web.Response(status=303, headers={"Location": "/console/login"})
        try:
            await self._console.sessions.close(visit.who.cookie)
            log.info("console logout", operator=visit.who.shown)
        except (PostgresAway, Busy) as error:  # the browser forgets it all the same
            log.warning("console logout without Postgres", error=repr(error), operator=visit.who.shown)
        response.del_cookie(SESSION, path="/", httponly=True, samesite="Strict", secure=guard.is_secure(visit.request))
        return response

    async def theme(self, visit: Visit) -> web.StreamResponse:
        """POST /console/theme"""
        theme = visit.form.get("theme", "")
        if theme not in THEMES:
            raise InvalidRequest("A theme is auto, light or dark.")
        response = self._console.leave(visit, guard.local(visit.form.get("to")))
        secure = guard.is_secure(visit.request)
        response.set_cookie(
            THEME, theme, max_age=_THEME_LIFE, path="/console", httponly=True, samesite="Strict", secure=secure
        )
        return response

    async def _open(self, text: str) -> Operator:
        secret = tokens.parse(text)
        if secret is None:
            raise Unauthenticated("This is not a token: it begins with mst_.")
        return await self._console.sessions.open(secret)

    async def _let_in(self, request: web.Request, operator: Operator, to: str) -> web.StreamResponse:
        await self._drop_former(request)
        response = web.Response(status=303, headers={"Location": to})
        secure = guard.is_secure(request)
        response.set_cookie(
            SESSION, operator.cookie, max_age=int(LIFE), path="/", httponly=True, samesite="Strict", secure=secure
        )
        response.del_cookie(_FORM, path="/console/login", httponly=True, samesite="Strict", secure=secure)
        return response

    async def _drop_former(self, request: web.Request) -> None:
        """Who logs in anew leaves the session that the browser had."""
        if former := guard.cookie(request, SESSION):
            try:
                await self._console.sessions.close(former)
            except (PostgresAway, Busy):
                log.info("a former session was left to its time")

    async def _form(
        self, request: web.Request, to: str, wrong: str | None = None, status: int = 200
    ) -> web.StreamResponse:
        secret = guard.cookie(request, _FORM) or secrets.token_urlsafe(32)
        values = {"title": "Log in", "wrong": wrong, "to": to, "login": guard.sign(secret, guard.CSRF)}
        response = await self._console.answer(Visit(request), ["login.html"], values, status)
        response.set_cookie(
            _FORM,
            secret,
            max_age=_FORM_LIFE,
            path="/console/login",
            httponly=True,
            samesite="Strict",
            secure=guard.is_secure(request),
        )
        return response
