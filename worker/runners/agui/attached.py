"""Files of messages as parts of the protocol: handles, no bytes. An endpoint that has a token reads them over HTTP.

Source: AG-UI 1.0, message parts and `FileSource`: who can't resolve a handle leaves its part out. Refused here: reading
a file; a conversation of many would be as large as all of them, and is sent with every call.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.runners.context import Context, Message
from worker.runners.files import ThreadFile

PROVIDER = "threadmill"
_KINDS = frozenset({"image", "audio", "video"})  # parts of their own; all else is a document


async def wire(ctx: Context, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as the endpoint is sent them. Raises RunnerError where files can't be looked up now."""
    named = list(dict.fromkeys(name for message in messages for name in message.files))
    found = {file.id: file for file in await ctx.files.attached(named)}
    return [_message(message, found) for message in messages]


def _message(message: Message, found: Mapping[str, ThreadFile]) -> dict[str, Any]:
    parts = [_part(found[name]) for name in message.files if name in found]
    text = [{"type": "text", "text": message.text}] if message.text else []
    content: str | list[dict[str, Any]] = [*text, *parts] if parts else message.text
    return {"id": message.id, "role": message.role, "content": content}


def _part(file: ThreadFile) -> dict[str, Any]:
    kind = file.mime_type.partition("/")[0]
    source = {"type": "file", "value": file.id, "provider": PROVIDER, "mimeType": file.mime_type}
    return {
        "type": kind if kind in _KINDS else "document",
        "source": source,
        "metadata": {"name": file.name, "size": file.size},
    }
