"""The console's static files, each under an address that holds the hash of its content: kept by browsers for ever.

Read once, when the process is put together. Refused here: anything that is not in the directory then.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from api.console import guard

PREFIX = "/console/static"
_HERE = Path(__file__).with_name("static")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_ANEW = "no-cache"  # of an address with another hash: an older or newer api made the page


@dataclass(frozen=True, slots=True)
class File:
    body: bytes
    type: str
    hash: str


class Files:
    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files

    def address(self, name: str) -> str:
        """Of a file by its name. Raises KeyError."""
        return f"{PREFIX}/{self._files[name].hash}/{name}"

    async def read(self, request: web.Request) -> web.StreamResponse:
        """GET /console/static/{hash}/{name}"""
        file = self._files.get(request.match_info["name"])
        if file is None:
            return guard.finish(web.Response(status=404, text="There is no such file."))
        headers = {
            "Cache-Control": _FOR_EVER if request.match_info["hash"] == file.hash else _ANEW,
            "ETag": f'"{file.hash}"',
            "X-Content-Type-Options": "nosniff",
            "Server": "threadmill",
        }
        if any(tag.value == file.hash for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, headers=headers | {"Content-Type": file.type})


def read_files(directory: Path = _HERE) -> Files:
    found = (path for path in sorted(directory.rglob("*")) if path.suffix in _TYPES)
    return Files({path.relative_to(directory).as_posix(): _file(path) for path in found})


def _file(path: Path) -> File:
    body = path.read_bytes()
    return File(body, _TYPES[path.suffix], hashlib.sha256(body).hexdigest()[:16])
