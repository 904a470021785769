"""One request of a browser: who sent it, and what every page's frame shows of it."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiDict

from api import edge
from api.console import guard
from api.console.flash import Flash, Jar
from api.console.navigation import Section, current
from api.console.sessions import Operator

SESSION = "threadmill_console"  # the cookie
THEME = "threadmill_theme"
THEMES = ("auto", "light", "dark")
LIVE = "live"  # the parameter of the live stream of a page


@dataclass(slots=True)
class Visit:
    request: web.Request
    operator: Operator | None = None
    form: MultiDict[str] = field(default_factory=MultiDict)

    @property
    def who(self) -> Operator:
        """Where somebody is logged in, which the door sees to."""
        if self.operator is None:
            raise RuntimeError("a page without a login")
        return self.operator

    @property
    def jar(self) -> Jar:
        return Jar(self.who.cookie, guard.is_secure(self.request))

    @property
    def query(self) -> MultiDict[str]:
        """Without what is the frame's own."""
        query = MultiDict(self.request.query)
        query.popall(LIVE, None)
        return query

    @property
    def params(self) -> MultiDict[str]:
        """Of the path and of the query; the path's come first, so that no query stands in for an id."""
        return MultiDict([*self.request.match_info.items(), *self.query.items()])

    def address(self, **changes: str | None) -> str:
        """This page's, with other parameters; None takes one away."""
        query = self.query
        for name, value in changes.items():
            query.popall(name, None)
            if value is not None:
                query[name] = value
        return (
            f"{self.request.rel_url.raw_path}?{urlencode(list(query.items()))}"
            if query
            else self.request.rel_url.raw_path
        )

    def flash(self) -> Flash | None:
        return None if self.operator is None else self.jar.read(self.request)

    def frame(self, sections: tuple[Section, ...], redis_away: bool, postgres_away: bool) -> dict[str, Any]:
        """What `base.html` shows."""
        theme = guard.cookie(self.request, THEME)
        return {
            "operator": self.operator,
            "may_act": self.operator is not None and self.operator.may_act,
            "csrf": "" if self.operator is None else guard.sign(self.operator.cookie, guard.CSRF),
            "sections": sections,
            "section": current(sections, self.request.path),
            "theme": theme if theme in THEMES else "auto",
            "themes": THEMES,
            "flash": self.flash(),
            "address": self.address,
            "redis_away": redis_away,
            "postgres_away": postgres_away,
            "request_id": self.request[edge.ID],
        }
