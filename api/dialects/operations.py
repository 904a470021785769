"""What a dialect offers, as a table: the words in which the three of them describe themselves.

A table is a value. `openapi` makes a document of it, and tests hold it against the router and the real answers. Refused
here: serving any of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]
Model: TypeAlias = Any  # whatever a TypeAdapter takes


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several forms of an answer."""

    title: str
    says: str
    model: Model


@dataclass(frozen=True, slots=True)
class Sent:
    """One kind of server-sent event: its name, and what its data are."""

    name: str
    model: Model
    says: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: JSON of a model, or of one of several forms; or else server-sent events; or both."""

    status: str
    says: str
    model: Model = None
    choices: tuple[Choice, ...] = ()
    events: tuple[Sent, ...] = ()
    headers: tuple[str, ...] = ()  # by their names in `Dialect.headers`
    bytes: bool = False  # of any type, instead

    def forms(self) -> tuple[Model, ...]:
        """The models of its JSON; none where it is a stream only."""
        chosen = tuple(choice.model for choice in self.choices)
        return chosen or (() if self.model is None else (self.model,))


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str  # under the dialect's root
    group: str  # what it is about: a chapter of the page
    summary: str
    answers: tuple[Answer, ...]
    body: Model = None
    parameters: tuple[Schema, ...] = ()  # of the query, and headers
    says: str = ""
    conflict: str = ""  # when it does not fit the state of things; nothing where that can't be
    example: Any = None  # of its body; `$NAME` stands for what a shell has under that name
    query: str = ""  # of its example, from the question mark on
    body_required: bool = True
    token: bool = True
    upload: bool = False  # its body is a form with one file, in the field `file`

    @property
    def status(self) -> str:
        """Of the answer that is told of first."""
        return self.answers[0].status

    def models(self) -> tuple[Model, ...]:
        """Every model that a document of it refers to."""
        forms = [form for answer in self.answers for form in answer.forms()]
        sent = [event.model for answer in self.answers for event in answer.events]
        return (*forms, *sent) if self.body is None else (*forms, *sent, self.body)


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect as a whole. `variables` names what stands for a parameter of a path in an example."""

    name: str
    title: str
    says: str
    root: str  # of its paths: the server's address
    operations: tuple[Operation, ...]
    path_parameters: Mapping[str, Schema]
    variables: Mapping[str, str]
    error: Model
    refusals: Mapping[str, str]  # when a request is answered so, by status
    conflict_status: str = "409"
    common: Mapping[str, Schema] = field(default_factory=dict)  # parameters of all operations
    headers: Mapping[str, Schema] = field(default_factory=dict)  # of answers
    always: tuple[str, ...] = ()  # headers that each answer has
    webhooks: Schema = field(default_factory=dict)
    told: tuple[Model, ...] = ()  # models that webhooks refer to


def header(name: str, says: str, **schema: Any) -> Schema:
    return {"name": name, "in": "header", "description": says, "schema": {"type": "string"} | schema}


def query(name: str, says: str, **schema: Any) -> Schema:
    return {"name": name, "in": "query", "description": says, "schema": schema}


def limit(most: int, default: int, name: str = "limit") -> Schema:
    return query(name, "How many a page has.", type="integer", minimum=1, maximum=most, default=default)


KEY = header(
    "Idempotency-Key",
    "1 to 128 printable characters. Makes a retry safe, for 24 hours at least: the same key and request get "
    "the original answer, with `Idempotency-Replayed: true`.",
    maxLength=128,
    pattern="^[ -~]*[!-~][ -~]*$",
)
WAIT = header(
    "Prefer",
    "`wait=N` (seconds, at most 30) or `respond-async` (RFC 7240): how long to wait for the outcome.",
)
REQUEST_ID = header(
    "X-Request-Id",
    "1 to 128 letters, digits and `. _ : / + = @ -`: taken over; where it is anything else, one is made. It stands in "
    "the answer and in the log.",
)
ANSWERED_ID: Schema = {"description": "Of this request.", "schema": {"type": "string"}}
REPLAYED: Schema = {
    "description": "Only on the original answer of an Idempotency-Key, given again.",
    "schema": {"const": "true"},
}
RETRY_AFTER: Schema = {"description": "Seconds to wait before another try.", "schema": {"type": "integer"}}
RATE: Mapping[str, Schema] = {
    "RateLimit-Policy": {
        "description": "The limit that decides, `token` or `account`: so many requests at once (`q`), which come back "
        "within so many seconds (`w`). Of `in_flight`: so many batches. Nothing where there is no limit.",
        "schema": {"type": "string", "examples": ['"account";q=100;w=2']},
    },
    "RateLimit": {
        "description": "What is left of it (`r`), and in how many seconds it is whole again (`t`); where a request was "
        "refused, in how many it may come again.",
        "schema": {"type": "string", "examples": ['"account";r=0;t=1']},
    },
}
SECURITY: Schema = {
    "token": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <token>`"},
    "snowflake": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": '`Authorization: Snowflake Token="<token>"`, as clients of Cortex send it',
    },
}
REFUSALS: Mapping[str, str] = {
    "400": "The request is not valid: its path, its query, a header or its body.",
    "401": "The token is missing, unknown or revoked.",
    "403": "The token is an operator's: it has no threads.",
    "404": "There is no such thing, or it is another account's.",
    "413": "The body is over the limit.",
    "415": "The body is not `application/json` in UTF-8, or is encoded.",
    "429": "Too many requests, or batches in flight: a limit is reached, and the message names it. Nothing was stored.",
    "500": "The service failed.",
    "503": "The service can't take this now: try again later.",
}
DESCRIPTION = Answer("200", "An OpenAPI document.", dict[str, Any])
