"""A message for the next page: kept in a cookie, signed with the session's secret, shown once."""

import base64
import binascii
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from api.console import guard

COOKIE = "threadmill_flash"
_LIFE = 60  # seconds; it is read by the page that the answer leads to
_LONGEST = 600  # characters


class Flash(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    kind: str = "good"  # good | bad | note


@dataclass(frozen=True, slots=True)
class Jar:
    """The cookie of one session."""

    secret: str
    secure: bool

    def put(self, response: web.StreamResponse, flash: Flash) -> None:
        kept = flash.model_copy(update={"text": flash.text[:_LONGEST]})
        body = base64.urlsafe_b64encode(kept.model_dump_json().encode()).decode()
        response.set_cookie(
            COOKIE,
            f"{body}.{guard.sign(self.secret, f'flash {body}')}",
            max_age=_LIFE,
            httponly=True,
            samesite="Strict",
            secure=self.secure,
            path="/console",
        )

    def read(self, request: web.BaseRequest) -> Flash | None:
        """What the last answer left; None where it left nothing, or somebody else did."""
        body, _, signature = guard.cookie(request, COOKIE).rpartition(".")
        if not body or not guard.signed(self.secret, f"flash {body}", signature):
            return None
        try:
            return Flash.model_validate_json(base64.urlsafe_b64decode(body))
        except (ValidationError, binascii.Error):
            return None

    def empty(self, response: web.StreamResponse) -> None:
        response.del_cookie(COOKIE, path="/console", httponly=True, samesite="Strict", secure=self.secure)
