"""What keeps strangers from acting through an operator's browser: headers, origins, CSRF tokens, local addresses. Pure.

A CSRF token is an HMAC of what it is for, with the session's secret as its key: nothing to keep, nothing to guess, and
worth nothing in another session. Refused here: trusting the address that a proxy claims for a client.
"""

import base64
import hashlib
import hmac
import re
from urllib.parse import quote, urlsplit

from aiohttp import web

from shared.errors import Forbidden

CSRF = "csrf"  # the form's field
HOME = "/console"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "same-origin",  # `no-referrer` would make the Origin of our own forms `null`
    "Cross-Origin-Opener-Policy": "same-origin",
}
_COOKIE = re.compile(r"[A-Za-z0-9_.=-]{1,8192}\Z")  # those that we make: base64 and a dot; no head is longer
# Path characters and a query of ours. No `//` or `/\` at its beginning, which browsers take for another host.
_LOCAL = re.compile(r"/console(?:[/?][A-Za-z0-9_.~/?&=%+:,@-]*)?\Z")


def sign(secret: str, what: str) -> str:
    """43 url-safe characters."""
    digest = hmac.digest(secret.encode(), what.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def signed(secret: str, what: str, signature: str) -> bool:
    return hmac.compare_digest(sign(secret, what).encode(), signature.encode())


def check_csrf(secret: str, given: str) -> None:
    """Raises Forbidden where a form was not made for this session."""
    if not signed(secret, CSRF, given):
        raise Forbidden(
            "This form is of another session, or too old. Nothing was done: go back, reload, and try again."
        )


def check_origin(request: web.BaseRequest) -> None:
    """Raises Forbidden where a browser says that another site sent this."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    ours = {request.host, request.headers.get("X-Forwarded-Host", request.host)}
    if (site is not None and site not in {"same-origin", "none"}) or (origin is not None and _host(origin) not in ours):
        raise Forbidden("This request came from another site. Nothing was done.")


def _host(origin: str) -> str | None:
    """None where it is no address, which is no site of ours."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def cookie(request: web.BaseRequest, name: str) -> str:
    """What a browser has under this name; nothing where it can't be of ours."""
    value = request.cookies.get(name, "")
    return value if _COOKIE.match(value) else ""


def finish(response: web.StreamResponse) -> web.StreamResponse:
    """With the headers of every page."""
    response.headers.update(HEADERS)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "threadmill"
    return response


def is_secure(request: web.BaseRequest) -> bool:
    """Whether the browser speaks https, with us or with the proxy before us."""
    claimed: str = request.headers.get("X-Forwarded-Proto", "")
    return bool(request.secure) or claimed.partition(",")[0].strip().lower() == "https"


def local(target: str | None) -> str:
    """The target where it is a path of the console, else its first page."""
    return target if target is not None and _LOCAL.match(target) else HOME


def quoted(target: str) -> str:
    """For a parameter of an address."""
    return quote(target, safe="/")
