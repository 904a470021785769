"""What the clients saw: each request with every answer to it, by the clock of the process that sent them all."""

import re
from dataclasses import dataclass, field
from math import inf
from typing import Any

Document = dict[str, Any]

MARKER = re.compile(r"\bm\d+-\d+\b")
NO_JSON = "no JSON"  # the code of an answer that is whole and can't be read


@dataclass(frozen=True, slots=True)
class Reply:
    """One exchange. Times are seconds of one monotonic clock; `status` None: no answer came, nobody knows."""

    sent: float
    ended: float
    status: int | None
    body: Document = field(default_factory=dict, hash=False)
    replayed: bool = False
    retry_after: str | None = None
    thread: str | None = None  # its id of the other dialects, where the answer's head names it

    @property
    def acknowledged(self) -> bool:
        return self.status in (200, 201) and self.code != NO_JSON

    @property
    def outcome(self) -> Document | None:
        """`{"events", "thread", "warnings"}`, where the answer holds the applied one."""
        if not self.acknowledged or any(w["code"] == "apply_pending" for w in self.body["warnings"]):
            return None
        return {name: self.body[name] for name in ("events", "thread", "warnings")}

    @property
    def code(self) -> str:
        """The service's own code of an error, in the native envelope."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return str(error.get("code", "") if isinstance(error, dict) else "")

    @property
    def is_not_now(self) -> bool:
        """The contract's words for "ask again": the service can't, or the first one is under way."""
        code = {503: "service_inactive", 409: "idempotency_conflict"}.get(self.status or 0)
        return code is not None and self.code == code and self.retry_after is not None


class Answered:
    """Something that was asked for, with all answers to it so far."""

    __slots__ = ()
    replies: list[Reply]

    @property
    def began(self) -> float:
        """When it was sent first; of one whose client was gone before the answer, at any time."""
        return min((reply.sent for reply in self.replies), default=-inf)

    @property
    def answered(self) -> float:
        """When the first 2xx came; infinite where none did."""
        return min((reply.ended for reply in self.replies if reply.acknowledged), default=inf)

    @property
    def acknowledged(self) -> bool:
        return self.answered < inf

    @property
    def under_way(self) -> bool:
        """It was answered in the contract's words that it is accepted and not applied yet."""
        return any(reply.status == 409 and reply.is_not_now for reply in self.replies)

    @property
    def refused(self) -> bool:
        """Every answer said that nothing was stored. 503 and 409 leave it open, and so does silence."""
        return bool(self.replies) and all(
            reply.status is not None and reply.status < 500 and reply.status not in (200, 201, 409)
            for reply in self.replies
        )


@dataclass(frozen=True, slots=True)
class Creation:
    """A thread that a client asked for: which ones its answers named, none where no answer came."""

    key: str | None = None
    threads: frozenset[str] = frozenset()


def created(*threads: str) -> list[Creation]:
    """Each without a key, by one request that was answered."""
    return [Creation(None, frozenset({thread})) for thread in threads]


@dataclass(slots=True)
class Request(Answered):
    """A batch that a client wanted applied, however often it was sent.

    `marker` stands in the batch's events and nowhere else; with a `key` it may have been sent more than once, and may
    do without its marker there.
    """

    thread: str
    marker: str
    events: tuple[Document, ...]
    key: str | None = None
    replies: list[Reply] = field(default_factory=list)

    @property
    def outcomes(self) -> list[Document]:
        return [outcome for reply in self.replies if (outcome := reply.outcome) is not None]
