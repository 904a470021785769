"""Every route of the running app, and a request of each: for what must be true on all of them."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from yarl import URL

from api.app import create_app
from api.reference.files import DIALECTS
from shared.settings import Settings
from tests.contract.cortex_client import asking
from tests.contract.foreign import Names
from tests.service import FORM, Client, Reply, form_of, message

_NOWHERE = "postgresql://localhost:1/nowhere"
_FREE = {"database", "schema"}  # parameters that name nothing
_SERVICE = {*DIALECTS, "/docs", "/docs/reference.css", "/healthz", "/readyz", "/metrics"}  # for everybody

# What a route is sent, by how its path ends; `<name>` is an id of whoever asks, so that the path alone decides.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/agents/{agentId}/threads"): {},
    ("POST", "/agents/{agentId}/files"): form_of(b"hello"),
    ("POST", "/threads/{threadId}/events"): {"events": [message()]},
    ("POST", "/threads/{threadId}/archive"): None,
    ("POST", "/threads/{threadId}/unarchive"): None,
    ("PATCH", "/threads/{threadId}/runs/{runId}"): {"text": "hello"},
    ("POST", "/cortex/threads"): {},
    ("POST", "/cortex/threads/{id}"): {"thread_name": "mine"},
    ("POST", "/cortex/agent:run"): asking("hello", stream=False),
    ("POST", "/agents/{name}:run"): asking("hello", stream=False),
    ("POST", "/v1/threads"): {},
    ("POST", "/v1/threads/{threadId}"): {"metadata": {"a": "b"}},
    ("POST", "/v1/threads/runs"): {"assistant_id": "<agentId>"},
    ("POST", "/threads/{threadId}/messages"): {"role": "user", "content": "hello"},
    ("POST", "/threads/{threadId}/messages/{messageId}"): {"metadata": {"a": "b"}},
    ("POST", "/threads/{threadId}/runs"): {"assistant_id": "<agentId>"},
    ("POST", "/threads/{threadId}/runs/{runId}/cancel"): None,
    ("POST", "/threads/{threadId}/runs/{runId}/submit_tool_outputs"): {
        "tool_outputs": [{"tool_call_id": "<request>", "output": "allow"}]
    },
}


class Route(NamedTuple):
    method: str
    path: str

    @property
    def names(self) -> list[str]:
        """The parameters of its path that name something."""
        return [name for name in re.findall(r"{(\w+)}", self.path) if name not in _FREE]

    @property
    def of_service(self) -> bool:
        """Whether it is about no account at all."""
        return self.path in _SERVICE

    @property
    def of_console(self) -> bool:
        return self.path == "/" or self.path.startswith("/console")

    def body(self, own: Names) -> Any:
        """Of a request; LookupError where nobody said what this route is sent."""
        if self.method in {"GET", "HEAD", "DELETE"}:
            return None
        path = self.path.rstrip("/")
        endings = [end for method, end in BODIES if method == self.method and path.endswith(end)]
        if not endings:
            raise LookupError(self)
        return filled(BODIES[self.method, max(endings, key=len)], own)

    def cells(self) -> Iterator[frozenset[str]]:
        """Which of its ids are another account's: each alone, and all of them."""
        yield from {frozenset([name]) for name in self.names} | {frozenset(self.names)} - {frozenset()}


def filled(value: Any, names: Names) -> Any:
    """With the ids that each `<name>` stands for; a number where it stands alone as `<#name>`."""
    if isinstance(value, dict):
        return {key: filled(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, names) for one in value]
    if not isinstance(value, str):
        return value
    if number := re.fullmatch(r"<#(\w+)>", value):
        return int(names[number[1]])
    return re.sub(r"<(\w+)>", lambda found: names[found[1]], value)


def described() -> dict[Route, set[str]]:
    """What requests of each operation can hold, by the documents: parameters of the query, fields of the body. A field
    in an object is `object.field`, and in a list of objects, too.
    """
    found: dict[Route, set[str]] = {}
    for dialect in DIALECTS.values():
        for one in dialect.operations:
            names = {parameter["name"] for parameter in one.parameters if parameter["in"] == "query"}
            if one.body is not None:
                schema = TypeAdapter(one.body).json_schema(by_alias=True)
                names |= set(_fields(schema, schema.get("$defs", {})))
            found[Route(one.method.upper(), dialect.root.rstrip("/") + one.path)] = names
    return found


def _fields(schema: Any, models: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Of a JSON Schema, wherever it leads; a model that holds itself once."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if name and above.count(name) == 0:
        yield from _fields(models[name], models, (*above, name))
    for field, inner in schema.get("properties", {}).items():
        yield field
        yield from (f"{field}.{deeper}" for deeper in _fields(inner, models, above))
    inside = [schema["items"]] if "items" in schema else []
    for inner in (*inside, *(one for word in ("anyOf", "oneOf", "allOf") for one in schema.get(word, ()))):
        yield from _fields(inner, models, above)


def names_in(query: str, body: Any) -> Iterator[str]:
    """Of parameters and fields that hold another account's ids; `<my_name>` is none of its."""
    yield from re.findall(r"(\w+)=<(?!my_)", query)
    if isinstance(body, dict):
        for key, one in body.items():
            yield from (f"{key}.{name}" if name else key for name in names_in("", one))
    elif isinstance(body, list):
        for one in body:
            yield from names_in("", one)
    elif isinstance(body, str) and re.search(r"<#?(?!my_|#)\w+>", body):
        yield ""


async def served() -> list[Route]:
    """Every route of the app; what takes any method is asked with three."""
    app = await create_app(Settings().model_copy(update={"database_url": _NOWHERE}))
    return [
        Route(method, resource.canonical)
        for resource in app.router.resources()
        for route in resource
        for method in (("GET", "POST", "DELETE") if route.method == "*" else (route.method,))
    ]


async def ask(client: Client, route: Route, names: Names, body: Any = None, query: str = "") -> Reply:
    """With an id of the request that is always the same, so that answers can be compared. Follows nothing."""
    path = re.sub(r"{(\w+)}", lambda found: names.get(found[1], "any"), route.path)
    headers = {"Authorization": f"Bearer {client.token}", "X-Request-Id": "same"}
    sent: dict[str, Any] = {} if body is None else {"json": body}
    if isinstance(body, bytes):
        sent, headers["Content-Type"] = {"data": body}, FORM["Content_Type"]
    url = URL(f"{client.url}{path}{query}", encoded=True)
    async with client.session.request(route.method, url, headers=headers, allow_redirects=False, **sent) as response:
        return Reply(response.status, await response.read(), {k.lower(): v for k, v in response.headers.items()})
