"""Errors as Mosoo v1 spells them: `{"error": {"code", "message"}}`. Source: the wire contract, section 1, "Errors"."""

from typing import Any

from shared.errors import ThreadmillError


def spell(error: ThreadmillError, _: str) -> tuple[int, Any]:
    """Status and body."""
    return error.status, {"error": {"code": error.code, "message": error.message}}
