"""An agent's configuration as it may be shown: what looks like a secret is left out. Pure."""

import re
from typing import Any
from urllib.parse import urlsplit

MASK = "••••••"
# The name of an environment variable (`api_key_env`) is no secret: it is where one is found.
_SECRET = re.compile(r"(secret|token|passw|api_?key|private_?key|credential|authori[sz]ation|cookie)", re.IGNORECASE)
_HEADERS = re.compile(r"headers?\Z", re.IGNORECASE)


def masked(value: Any, secret: bool = False) -> Any:
    """The same document; of what is named like a secret, and of headers, no text is left."""
    if isinstance(value, dict):
        return {key: masked(one, secret or _names_secret(str(key))) for key, one in value.items()}
    if isinstance(value, list):
        return [masked(one, secret) for one in value]
    if isinstance(value, str):
        return MASK if secret else masked_url(value)
    return value


def masked_url(text: str) -> str:
    """An address without its password and without what its parameters say; any other text as it is."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return MASK
    netloc = f"{MASK}@{parts.netloc.rpartition('@')[2]}" if "@" in parts.netloc else parts.netloc
    query = "&".join(f"{pair.partition('=')[0]}={MASK}" for pair in parts.query.split("&")) if parts.query else ""
    return parts._replace(netloc=netloc, query=query).geturl()


def _names_secret(key: str) -> bool:
    return bool((_SECRET.search(key) and not key.lower().endswith("_env")) or _HEADERS.search(key))
