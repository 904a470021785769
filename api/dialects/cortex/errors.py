"""Errors as Cortex spells them: `{message, code, error_code, request_id}`, `code` in six digits.

Source: the wire contract, section 2, "Errors". Which six digits is ours: 399 and the status.
"""

from typing import Any

from shared.errors import ThreadmillError


def spell(error: ThreadmillError, request_id: str) -> tuple[int, Any]:
    """Status and body."""
    return error.status, {
        "message": error.message,
        "code": f"399{error.status}",
        "error_code": error.code,
        "request_id": request_id,
    }
