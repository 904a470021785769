"""A page for a request under `/console` that is no HTTP: the parser refused it, so nobody knows who asks or for what.

Refused here: showing anything of what was sent.
"""

from html import escape

from aiohttp import web

from api.console import guard
from shared.errors import ThreadmillError

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>That can't be read - Threadmill</title></head>
<body><main>
<h1>That can't be read</h1>
<p>{message} An address is ASCII; all else in it is percent-encoded UTF-8.</p>
<p>Status {status}, request <code>{request_id}</code>.</p>
<p><a href="/console">To the overview</a></p>
</main></body>
</html>
"""


def is_under_console(path: str) -> bool:
    return f"{path}/".startswith(f"{guard.HOME}/")


def page(error: ThreadmillError, request_id: str, status: int) -> web.StreamResponse:
    text = _PAGE.format(message=escape(error.message), status=status, request_id=escape(request_id))
    return guard.finish(web.Response(text=text, status=status, content_type="text/html", charset="utf-8"))
