"""Errors as Cortex spells them: `{message, code, error_code, request_id}`, `code` in six digits.

Source: the wire contract, section 2, "Errors". Which six digits is ours: 399 and the status.
"""

from typing import Any

from shared.errors import ThreadmillError


def spell(error: ThreadmillError, request_id: str) -> tuple[int, Any]:
    """Status and body."""
    return error.status, document(error.status, error.code, error.message, request_id)


def document(status: int, code: str, message: str, request_id: str) -> dict[str, Any]:
    """Also of what is no error of ours: a run that failed."""
    return {"message": message, "code": f"399{status}", "error_code": code, "request_id": request_id}
