"""Secrets of tokens: how they look, how they are kept, what may be shown of them. Pure; no database here.

A secret of ours is `mst_` and 43 url-safe characters: 32 random bytes. What is kept is its SHA-256 (a fast
hash is right for 256 random bits: nothing to guess) and a prefix to recognise it by. Secrets that were
issued elsewhere keep their form: `grt_pat_…` of a person, `grt_svc_…` of a service.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from shared.errors import InvalidRequest
from shared.ids import TokenId
from shared.models import TokenKind

OURS = "mst_"
IMPORTED = {"grt_pat_": TokenKind.HUMAN_PAT, "grt_svc_": TokenKind.SERVICE_TOKEN}
_SHOWN = 6  # characters after the kind: enough to tell tokens apart, 36 of 256 bits
_SHAPE = re.compile(r"(mst_|grt_pat_|grt_svc_)[A-Za-z0-9._~+/=-]{20,256}")  # 20: nothing that can be guessed


@dataclass(frozen=True, slots=True)
class Secret:
    """What a client sends after `Bearer`. Its text is never printed by accident."""

    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256, 32 bytes: what is kept."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def prefix(self) -> str:
        """What may be shown: the kind and the first characters."""
        match = _SHAPE.fullmatch(self.text)
        return self.text[: len(match[1] if match else "") + _SHOWN]


@dataclass(frozen=True, slots=True)
class Loan:
    """Whose token lends another one, and to which login (the digest of its cookie): it ends with either."""

    by: TokenId
    to: bytes


def mint() -> Secret:
    """A new secret of ours, 256 bits."""
    return Secret(OURS + secrets.token_urlsafe(32))


def parse(text: str) -> Secret | None:
    """The secret that a request carries; None where it has not the form of one (nothing to look up then)."""
    return Secret(text) if _SHAPE.fullmatch(text) else None


def imported(text: str) -> tuple[Secret, TokenKind]:
    """A secret issued elsewhere, and whose it is. Raises InvalidRequest; the message never holds the text."""
    secret = parse(text)
    for prefix, kind in IMPORTED.items():
        if secret is not None and text.startswith(prefix):
            return secret, kind
    raise InvalidRequest("A token to import is `grt_pat_` or `grt_svc_` and 20 to 256 characters of a bearer token.")
