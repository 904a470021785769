"""Another account's ids on every route and method of the running app: nothing is told, and nothing is touched.

The matrix is made from the router; a route that it does not know fails it. A cell is a route with one of its ids, or
all of them, being another account's; its answer must be the one that an id gets which nothing has. An agent of another
account is 403 where a path of the native dialect names it, everything else 404.
"""

import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.console.output import END
from shared import accounts, ids
from shared.models import TokenKind
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.console.staff import staff_of
from tests.contract.cortex_client import asking, deciding
from tests.contract.foreign import Names, World, furnish, nobody
from tests.contract.routing import BODIES, Route, ask, described, filled, names_in, served
from tests.search import all_rows
from tests.service import Reply

pytestmark = pytest.mark.timeout(120)

LOGIN = ("/console/login", "/console/static/")  # for every browser
HOME = {"/", "/console/"}  # lead to /console
VIEWERS = {"/console/logout", "/console/theme", "/console/login"}  # what somebody may post who may only look

V1, CORTEX, OPENAI = "/api/v1", "/api/v2/cortex", "/v1/threads"
NATIVE = f"{V1}/threads/{{threadId}}"
OWN_AGENT = "/api/v2/databases/{database}/schemas/{schema}/agents/{name}"
_CREATE, _RUN = Route("POST", f"{V1}/agents/{{agentId}}/threads"), Route("POST", f"{CORTEX}/agent:run")
# Another account's ids beside a path of one's own, in a body or a query: `<name>` is its, `<my_name>` one's own.
NAMED: list[tuple[Route, str, Any, int]] = [
    (Route("GET", f"{V1}/agents/{{agentId}}/threads"), "?after=<threadId>", None, 404),
    (_CREATE, "", {"files": [{"file_id": "<draft>"}]}, 400),
    (_CREATE, "", {"resources": [{"type": "file", "file_id": "<draft>"}]}, 400),
    *(
        (Route("POST", f"{NATIVE}/events"), "", {"events": [event]}, status)
        for event, status in (
            ({"type": "user_message", "text": "a", "attachmentIds": ["<draft>"]}, 400),
            ({"type": "user_message", "text": "a", "attachmentIds": ["file_<draft>"]}, 400),
            ({"type": "user_message", "text": "a", "resources": [{"type": "file", "file_id": "<draft>"}]}, 400),
            ({"type": "user_interrupt", "runId": "<askingRun>"}, 200),
            ({"type": "permission_decision", "requestId": "<request>", "decision": "allow_once"}, 200),
        )
    ),
    (Route("GET", f"{NATIVE}/events"), "?after=<event>", None, 200),
    (Route("GET", f"{NATIVE}/files"), "?after=<fileId>", None, 200),
    (Route("GET", f"{NATIVE}/events/stream"), "?until=run&after=<event>", None, 200),
    (Route("GET", f"{NATIVE}/runs"), "?after=<runId>", None, 200),
    (Route("GET", f"{CORTEX}/threads/{{id}}"), "?last_message_id=<number>", None, 200),
    *(
        (run, query, body, 404)
        for run in (_RUN, Route("POST", f"{OWN_AGENT}:run"))
        for query, body in (
            ("", asking("a", thread_id="<#id>", stream=False)),
            ("?thread_id=<id>", asking("a", stream=False)),
            ("", asking("a", thread_id="<#my_id>", parent_message_id="<#number>", stream=False)),
            ("", deciding(0, ("<request>", "allow")) | {"thread_id": "<#my_askingNumber>"}),
        )
    ),
    (Route("POST", f"{OPENAI}/runs"), "", {"assistant_id": "<agentId>"}, 404),
    (Route("POST", f"{OPENAI}/{{threadId}}/runs"), "", {"assistant_id": "<agentId>"}, 404),
    *(
        (Route("GET", f"{path}/{{threadId}}/messages"), f"?{name}=<{id_}>", None, status)
        for path in ("/threads", OPENAI)
        for name, id_, status in (("after", "messageId", 400), ("before", "messageId", 400), ("run_id", "runId", 404))
    ),
    *((Route("GET", f"{OPENAI}/{{threadId}}/runs"), f"?{name}=<runId>", None, 400) for name in ("after", "before")),
    (
        Route("POST", f"{OPENAI}/{{asking}}/runs/{{askingRun}}/submit_tool_outputs"),
        "",
        {"tool_outputs": [{"tool_call_id": "<request>", "output": "allow"}]},
        400,
    ),
]

# Fields and parameters, by the last part of their names, that name nothing which an account has.
NAMELESS = {
    "additional_messages",
    "archived",
    "attachments",
    "attributed_user_id",
    "clientRequestId",
    "client_external_ref",
    "content",
    "decision",
    "disposition",
    "events",
    "files",
    "input",
    "json",
    "limit",
    "messages",
    "metadata",
    "note",
    "on_busy",
    "order",
    "origin_application",
    "output",
    "page_size",
    "resources",
    "role",
    "stream",
    "text",
    "thread",
    "thread_name",
    "tool_outputs",
    "tool_result",
    "type",
    "until",
    "userId",
}


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
async def theirs(stage: Stage) -> World:
    return await furnish(stage, stage.client, "the canary of acme 71b2")


@pytest.fixture
async def mine(stage: Stage) -> World:
    client = await stage.service.client("globex")
    await Stage(stage.service, client).become("worker.runners.demo:echo")
    return await furnish(stage, client, "mine")


def plain(reply: Reply, names: Names) -> tuple[int, str]:
    """Without ids that were asked for, which an answer may repeat, and without those and times of what it made."""
    text = reply.body.decode()
    for name in (name for name in names.values() if len(name) > 1):
        text = text.replace(name, "<id>")
    return reply.status, re.sub(r"[0-7][0-9A-Z]{25}|\d{4}-\d\d-\d\dT[\d:.]+Z", "<made>", text)


def plainly(route: Route) -> Route:
    """A route with the parameters that documents give it: some rows want the thread whose run asks."""
    return Route(route.method, route.path.replace("{asking}", "{threadId}").replace("{askingRun}", "{runId}"))


async def rows_of(stage: Stage, world: World) -> list[str]:
    """All rows that have to do with an account's things."""
    known = [str(uuid.UUID(bytes=ids.to_bytes(value))) for value in world.ulids()]
    return sorted(row for row in (await all_rows(stage.service.pool)).splitlines() if any(id_ in row for id_ in known))


async def test_every_route_is_in_the_matrix() -> None:
    routes = [route for route in await served() if not route.of_service and not route.of_console]
    for route in routes:
        assert set(route.names) <= set(nobody()), f"{route}: whose are these ids? Say it in foreign.py"
        try:
            route.body(nobody())
        except LookupError:
            pytest.fail(f"{route}: what is it sent? Say it in BODIES, and in NAMED what its body can name")
    endings = [(route.method, route.path) for route in routes]
    for method, end in BODIES:
        assert any(method == one and path.endswith(end) for one, path in endings), f"{method} {end} is no route"
    assert len([cell for route in routes for cell in route.cells()]) >= 90  # as there were when this was written


def test_whatever_a_body_or_a_query_can_name_is_tried_with_another_account_s_ids() -> None:
    """By the documents, which are held against the router and the models: what is new there fails until it is tried."""
    tried = {(plainly(route), name) for route, query, body, _ in NAMED for name in names_in(query, body)}
    offered = {(route, name) for route in described() for name in described()[route]}
    naming = {(route, name) for route, name in offered if name.rpartition(".")[2] not in NAMELESS}
    assert naming - tried == set(), (
        "say in NAMED what another account's are answered, or in NAMELESS that they are none"
    )
    assert tried - offered == set(), "no document has these"
    assert NAMELESS - {name.rpartition(".")[2] for _, name in offered} == set(), "these stand in no document any more"
    assert len(naming) > 20


async def test_another_account_s_ids_are_as_unknown_as_those_of_nothing(
    stage: Stage, theirs: World, mine: World
) -> None:
    before, unknown = await rows_of(stage, theirs), nobody(theirs)
    for route in await served():
        for cell in route.cells() if not route.of_console else ():
            answers = []
            for other in (theirs.names, unknown):
                names = {**mine.names, **{name: other[name] for name in cell}}
                reply = await ask(mine.client, route, names, route.body(mine.names))
                answers.append(plain(reply, other))
                if other is theirs.names:
                    assert reply.status == (403 if "agentId" in cell else 404), (route, cell, reply)
                    asked = {other[name] for name in cell}
                    found = [one for one in theirs.secrets() if one not in asked and one in reply.body.decode()]
                    assert not found, (route, cell, reply)
            assert answers[0] == answers[1] or "agentId" in cell, (route, cell, answers)
        assert await rows_of(stage, theirs) == before, route


async def test_what_a_body_or_a_query_names_of_another_account_is_unknown_too(
    stage: Stage, theirs: World, mine: World
) -> None:
    before, unknown = await rows_of(stage, theirs), nobody(theirs)
    own = {f"my_{name}": value for name, value in mine.names.items()}
    for route, query, body, status in NAMED:
        answers = []
        for other in (unknown, theirs.names):
            names = other | own
            reply = await ask(mine.client, route, mine.names, filled(body, names), filled(query, names))
            answers.append(plain(reply, other))
            found = [one for one in theirs.secrets() if one in reply.body.decode() and one not in str((body, query))]
            assert reply.status == status, (route, query, body, reply)
        asked = [value for name, value in theirs.names.items() if f"<{name}>" in f"{body}{query}"]
        assert set(found) <= set(asked), (route, query, body, found)
        assert answers[0] == answers[1], (route, query, body, answers)
        assert await rows_of(stage, theirs) == before, (route, query, body)


async def test_lists_hold_nothing_of_another_account(theirs: World, mine: World) -> None:
    for route in await served():
        if route.method == "GET" and not (route.of_service or route.of_console) and not route.path.endswith("/stream"):
            reply = await ask(mine.client, route, mine.names)
            assert reply.status == 200, (route, reply)
            assert not [one for one in theirs.secrets() if one.encode() in reply.body], (route, reply)


async def test_the_owner_s_own_ids_are_known_on_every_route(stage: Stage, theirs: World) -> None:
    """Otherwise the cells above would say nothing."""
    for route in await served():
        if route.of_service or route.of_console or route.path.endswith("/stream"):
            continue
        world = await furnish(stage, theirs.client, "new") if route.method == "DELETE" else theirs
        reply = await ask(world.client, route, world.names, route.body(world.names))
        assert reply.status not in {401, 403, 404, 405}, (route, reply)
        assert reply.status < 500, (route, reply)
        if route.path.endswith("/archive"):
            await ask(world.client, Route("POST", route.path.replace("/archive", "/unarchive")), world.names)


async def test_an_operator_s_token_has_nothing_of_any_account(stage: Stage, theirs: World) -> None:
    before = await rows_of(stage, theirs)
    for kind in (TokenKind.ADMIN, TokenKind.VIEWER):
        secret = (await accounts.create_token(stage.service.pool, None, kind)).secret.text
        for route in await served():
            if not (route.of_service or route.of_console):
                reply = await ask(theirs.client.using(secret), route, theirs.names, route.body(theirs.names))
                assert reply.status == 403, (route, reply)
                assert theirs.text.encode() not in reply.body
    assert await rows_of(stage, theirs) == before


async def test_an_account_s_token_opens_nothing_of_the_console(stage: Stage, theirs: World, mine: World) -> None:
    before = await rows_of(stage, theirs)
    staff = await staff_of(stage.service)
    names = theirs.names | {"id": theirs.names["threadId"], "thread": theirs.names["threadId"]}
    names |= {"run": theirs.names["runId"], "account": str(theirs.client.account)}
    browser = staff.stranger()
    for route in [route for route in await served() if route.of_console and not route.path.startswith(LOGIN)]:
        browser.cookies["threadmill_console"] = mine.client.token
        path = re.sub(r"{(\w+)}", lambda found: names.get(found[1], "any"), route.path)
        seen = await browser.call(route.method, path, None, Authorization=f"Bearer {mine.client.token}")
        if route.path.endswith("/output"):  # of which a browser follows no redirection
            assert (seen.status, seen.text) == (200, "" if route.method == "HEAD" else END.decode())
        elif route.path in HOME and route.method != "POST":
            assert (seen.status, seen.location) == (302, "/console")
        else:
            assert (seen.status, seen.location.split("?")[0]) == (303, "/console/login"), (route, seen)
        assert not [one for one in theirs.secrets() if one in seen.text]
    assert (await browser.log_in(mine.client.token)).status == 403
    assert await rows_of(stage, theirs) == before


def _addressed(path: str, names: Names, otherwise: str) -> str:
    """With an id for each `{name}`, `otherwise` where none has that name."""
    return re.sub(r"{(\w+)}", lambda found: names.get(found[1], otherwise), path)


async def test_a_viewer_may_post_nothing_that_acts(stage: Stage, theirs: World) -> None:
    before = await rows_of(stage, theirs)
    staff = await staff_of(stage.service)
    viewer = await staff.browsing(staff.viewer)
    csrf = (await viewer.open("/console")).form("/console/logout").fields["csrf"]
    names = theirs.names | {"thread": theirs.names["asking"], "run": theirs.names["askingRun"]}
    deeds = [route for route in await served() if route.of_console and route.method == "POST"]
    acting = [route for route in deeds if route.path not in VIEWERS and "{rest}" not in route.path]
    for route in acting:
        id_ = names["agentId"] if "/agents/" in route.path else names["asking"]
        path = _addressed(route.path, names | {"id": id_}, id_)
        seen = await viewer.call("POST", path, {"csrf": csrf, "reason": "none", "token": id_})
        assert seen.status in ({404, 405} if route.path == "/console" else {403}), (route, seen.words)
    assert len(acting) > 20
    assert await rows_of(stage, theirs) == before
