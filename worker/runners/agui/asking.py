"""Interrupts of an endpoint as permission requests, and what became of them as the entries of `resume`.

Source: AG-UI 1.0, "Interrupts and Resume". A permission is given or not: what else an endpoint wants to be told (its
`responseSchema`) it gets only as far as `approved` and `note` go.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ag_ui.core import Interrupt, ResumeEntry
from pydantic import BaseModel, ConfigDict

from worker.runners.agui import failures
from worker.runners.agui.calls import Pending
from worker.runners.context import Decision, Verdict
from worker.runners.outputs import PermissionRequest

LIMIT = 100  # interrupts at once: each is a question to a person
TITLE = 500  # characters
ID = 200  # characters: a request's id has 255
SHORTEST = 1.0  # seconds: what is past its time already is still asked, and expires
LONGEST = 1e9  # seconds: the most that a request may have


class Asked(BaseModel):
    """One interrupt, as it stands in the checkpoint until it is settled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str  # of the permission request: the interrupt's id is unique in its stream only
    interrupt: str
    title: str
    tool: str | None
    input: dict[str, Any]
    expires_at: datetime | None

    def request(self, now: datetime) -> PermissionRequest:
        left = None
        if self.expires_at is not None:
            left = min(LONGEST, max(SHORTEST, (self.expires_at - now).total_seconds()))
        return PermissionRequest(self.key, self.title, self.tool, self.input, left)

    def entry(self, decision: Decision) -> ResumeEntry:
        """A no is an answer, too; nobody having answered is none."""
        if decision.verdict is Verdict.EXPIRED:
            return ResumeEntry(interrupt_id=self.interrupt, status="cancelled")
        return ResumeEntry(interrupt_id=self.interrupt, status="resolved", payload=self._payload(decision))

    def _payload(self, decision: Decision) -> Any:
        schema = self.input.get("responseSchema", {})
        if schema.get("type") == "boolean":
            return decision.allowed
        payload: dict[str, Any] = {"approved": decision.allowed}
        if decision.note and _takes_note(schema):
            payload["note"] = decision.note
        return payload


def ask(interrupts: list[Interrupt], leg: int, calls: Mapping[str, Pending]) -> list[Asked]:
    """Raises RunnerError for too many of them, an id twice, or one that is too long."""
    if len(interrupts) > LIMIT:
        raise failures.protocol(f"The endpoint asks for more than {LIMIT} things at once.")
    if len({interrupt.id for interrupt in interrupts}) < len(interrupts):
        raise failures.protocol("The endpoint sent two interrupts with one id.")
    return [_ask(interrupt, leg, calls) for interrupt in interrupts]


def _ask(interrupt: Interrupt, leg: int, calls: Mapping[str, Pending]) -> Asked:
    if not 1 <= len(interrupt.id) <= ID:
        raise failures.protocol(f"The endpoint sent an interrupt whose id is not 1 to {ID} characters long.")
    call = calls.get(interrupt.tool_call_id or "")
    return Asked(
        key=f"{leg}:{interrupt.id}",
        interrupt=interrupt.id,
        title=_title(interrupt),
        tool=call.name if call else None,
        input=_input(interrupt, call),
        expires_at=_moment(interrupt.expires_at),
    )


def _title(interrupt: Interrupt) -> str:
    title = (interrupt.message or "").strip() or interrupt.reason.strip() or "The agent asks for a permission."
    return title if len(title) <= TITLE else f"{title[: TITLE - 1]}…"


def _input(interrupt: Interrupt, call: Pending | None) -> dict[str, Any]:
    told = {
        "reason": interrupt.reason,
        "toolCallId": interrupt.tool_call_id,
        "arguments": call.input if call else None,
        "responseSchema": interrupt.response_schema,
        "metadata": interrupt.metadata,
    }
    return {name: value for name, value in told.items() if value is not None}


def _moment(text: str | None) -> datetime | None:
    """The protocol leaves its form open: what is no ISO 8601 never expires, as AG-UI has it."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _takes_note(schema: Mapping[str, Any]) -> bool:
    properties = schema.get("properties")
    named = isinstance(properties, dict) and "note" in properties
    return named or schema.get("additionalProperties") is not False
