"""A browser without a window or a script: it keeps cookies, posts forms as they stand, and follows nothing itself."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp


@dataclass(slots=True)
class Form:
    """A form as it stands in a page: its hidden fields, and what is chosen in it."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(held.get("action", ""), held.get("method", "get")))
        elif tag == "input" and self.forms and "name" in held:
            self.forms[-1].fields[held["name"]] = held.get("value", "")


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer."""

    status: int
    path: str  # that was asked for
    text: str
    headers: dict[str, str]  # by lower-case name; the last one where there are several
    cookies: dict[str, Any]  # that were set with it

    @property
    def location(self) -> str:
        return self.headers["location"]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def forms(self) -> list[Form]:
        reader = _Forms()
        reader.feed(self.text)
        return reader.forms

    def form(self, action: str = "") -> Form:
        """The only form that goes there; without an action, the one that goes where it stands."""
        (found,) = (form for form in self.forms if form.action == action)
        return found

    @property
    def words(self) -> str:
        """What is read on the page, with single spaces."""
        return " ".join(re.sub(r"<[^>]*>", " ", self.text).split())


@dataclass(slots=True)
class Browsing:
    session: aiohttp.ClientSession
    url: str
    cookies: dict[str, str] = field(default_factory=dict)

    async def open(self, path: str, **headers: str) -> Seen:
        return await self.call("GET", path, None, **headers)

    async def call(self, method: str, path: str, data: dict[str, str] | bytes | None, **headers: str) -> Seen:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.session.request(
            method, urljoin(self.url, path), data=data, headers=fields, allow_redirects=False
        ) as response:
            text = await response.text()
            for name, morsel in response.cookies.items():
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
            kept = {name.lower(): value for name, value in response.headers.items()}
            return Seen(response.status, path, text, kept, dict(response.cookies))

    async def submit(self, seen: Seen, form: Form, fields: dict[str, str] | None = None, **headers: str) -> Seen:
        """Posts a form of a page, with what is typed into it."""
        path = form.action or urlsplit(seen.path)._replace(fragment="").geturl()
        return await self.call("POST", path, {**form.fields, **(fields or {})}, **headers)

    async def log_in(self, token: str, to: str = "/console") -> Seen:
        seen = await self.open(f"/console/login?to={to}")
        return await self.submit(seen, seen.form("/console/login"), {"token": token})

    async def confirm(self, path: str, fields: dict[str, str] | None = None) -> Seen:
        """Opens what asks, says yes, and goes where that leads."""
        seen = await self.open(path)
        assert seen.status == 200, (seen.status, seen.words)
        answer = await self.submit(seen, seen.form(), fields)
        return await self.open(answer.location) if answer.status == 303 else answer
