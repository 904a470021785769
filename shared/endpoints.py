"""Addresses that somebody wrote down to be called by us, checked as far as their text tells.

Refused here: resolving a name. Where it leads is checked when it is called (`worker.outbound`).
"""

import httpx2

SCHEMES = {"http": 80, "https": 443}  # and their ports
_LIMIT = 2_048  # characters; longer than any that servers take


def check_url(url: str) -> str:
    """The URL, if it is one that may be called as far as its text tells. Raises ValueError."""
    if len(url) > _LIMIT or not url.isprintable() or " " in url:
        raise ValueError(f"must be at most {_LIMIT:,} printable characters without a space")
    try:
        parts = httpx2.URL(url)  # as whoever calls it reads it
    except httpx2.InvalidURL as error:
        raise ValueError(f"is no URL: {error}") from error
    if parts.scheme not in SCHEMES or not parts.host:
        raise ValueError("must begin with https:// or http:// and name a host")
    if parts.port is not None and not 0 < parts.port < 65_536:
        raise ValueError("must name a port from 1 to 65535, or none")
    if parts.userinfo:
        raise ValueError("must not hold a password")
    if parts.fragment:
        raise ValueError("must not have a fragment: it is never sent")
    return url
