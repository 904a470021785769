"""What a model is shown of a message's files: images as data URLs, texts as they are, of others that they are there.

They are read anew for each request, the newest messages first, for as long as there is room: a checkpoint holds nothing
but their ids. Refused here: believing a type. An image is what begins like one, a text what is no binary.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from shared.files.names import UNKNOWN, type_by
from worker.runners.failing import RunnerError
from worker.runners.files import GONE, Files, ThreadFile
from worker.runners.openai_config import OpenAIConfig

_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_TEXTS = frozenset(
    {
        *("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml"),
        *("application/x-ndjson", "application/javascript", "application/sql", "application/x-sh"),
    }
)
_ABSENT = "[A file was attached here; it is not there any more.]"


@dataclass(slots=True)
class _Room:
    config: OpenAIConfig
    left: int  # bytes of files that the request has room for

    def takes(self, size: int, limit: int) -> bool:
        return size <= limit and size <= self.left


async def with_files(
    messages: Sequence[dict[str, Any]], files: Files, config: OpenAIConfig
) -> Sequence[dict[str, Any]]:
    """The messages as the endpoint takes them. Raises RunnerError where a file can't be read now."""
    named = [name for message in messages for name in message.get("files", ())]
    if not named:
        return messages
    found = {file.id: file for file in await files.attached(list(dict.fromkeys(named)))}
    room = _Room(config, config.files_limit)
    told = [await _told(message, found, room) for message in reversed(messages)]
    return told[::-1]


async def _told(message: dict[str, Any], found: dict[str, ThreadFile], room: _Room) -> dict[str, Any]:
    if "files" not in message:
        return message
    text = [{"type": "text", "text": message["content"]}] if message["content"] else []
    parts = [await _part(found.get(name), room) for name in message["files"]]
    return {"role": message["role"], "content": [*text, *parts]}


async def _part(file: ThreadFile | None, room: _Room) -> dict[str, Any]:
    if file is None:
        return _text(_ABSENT)
    try:
        if _type(file) in _IMAGES and room.config.images and room.takes(file.size, room.config.image_limit):
            return _image(file, await _read(file, room))
        if _is_text(_type(file)) and room.takes(file.size, room.config.text_limit):
            return _written(file, await _read(file, room))
    except RunnerError as error:
        if error.code != GONE:
            raise
        return _text(_ABSENT)
    return _unshown(file)


async def _read(file: ThreadFile, room: _Room) -> bytes:
    room.left -= file.size
    return await file.read(file.size)


def _image(file: ThreadFile, data: bytes) -> dict[str, Any]:
    """Its type is what it begins with: an endpoint would refuse the whole request for another one."""
    kind = _seen(data)
    if kind is None:
        return _unshown(file)
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{b64encode(data).decode()}"}}


def _written(file: ThreadFile, data: bytes) -> dict[str, Any]:
    if b"\0" in data:
        return _unshown(file)
    return _text(f"[{_named(file)}:]\n{data.decode('utf-8-sig', 'replace')}")


def _unshown(file: ThreadFile) -> dict[str, Any]:
    return _text(f"[{_named(file)}, {file.size} bytes; it is not shown to you.]")


def _named(file: ThreadFile) -> str:
    return f"File {to_json(file.name).decode()}, {file.mime_type}"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _type(file: ThreadFile) -> str:
    """What a client said; where it knew nothing, what the name says."""
    return file.mime_type if file.mime_type != UNKNOWN else type_by(file.name)


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("+json", "+xml")) or kind in _TEXTS


def _seen(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
