"""What the playground's page is given by the console: names, and a token that is lent and given back."""

from typing import Any

import pytest

from api.console import guard, sessions
from shared import accounts, agents, ids
from shared import stream as logs
from shared.db.statements import statements
from shared.models import TokenKind
from shared.tokens import Loan, Secret
from tests.console.browsing import Browsing, Seen
from tests.console.staff import Staff
from tests.service import Client

PAGE = "/console/playground"


@pytest.fixture
async def client(staff: Staff) -> Client:
    return await staff.service.client("acme")


async def post(browsing: Browsing, path: str, **fields: Any) -> Seen:
    """As the page's script does, with the session's CSRF token unless another one is given."""
    csrf = guard.sign(browsing.cookies["threadmill_console"], guard.CSRF)
    return await browsing.call("POST", f"{PAGE}/{path}", {"csrf": csrf, **fields})


async def test_a_token_is_lent_for_an_hour_and_given_back_and_the_audit_log_has_both(
    staff: Staff, operator: Browsing, client: Client
) -> None:
    lent = await post(operator, "token", account=client.account)
    assert (lent.status, lent.headers["cache-control"]) == (200, "no-store")
    told = lent.json
    row = await staff.service.pool.fetchrow(
        "select account, kind, name, revoked_at, extract(epoch from expires_at - now())::float8 as life"
        " from tokens where id = $1",
        told["id"],
    )
    assert (row["account"], row["kind"], row["name"], row["revoked_at"]) == (
        client.account,
        "human_pat",
        "playground",
        None,
    )
    assert 3500 < row["life"] <= 3600
    assert (await client.using(told["secret"]).create(None)).status == 201
    back = await post(operator, "return", token=told["id"], proof=told["proof"])
    assert back.status == 200
    assert await staff.service.pool.fetchval("select revoked_at is not null from tokens where id = $1", told["id"])
    log = await staff.service.pool.fetch("select actor, via, action, target, result from audit order by id")
    assert [(row["via"], row["action"], row["target"], row["result"]) for row in log] == [
        ("console", "token.create.human_pat", f"token {told['id']}", "done"),
        ("console", "token.revoke", f"token {told['id']}", "done"),
    ]
    assert all(row["actor"].startswith("night shift") for row in log)


async def test_a_lent_token_ends_with_the_login(staff: Staff, client: Client) -> None:
    admin = await accounts.create_token(staff.service.pool, None, TokenKind.ADMIN, life=600)
    told = (await post(await staff.browsing(admin.secret.text), "token", account=client.account)).json
    assert 500 < told["seconds"] <= 600
    query = "select extract(epoch from expires_at - now())::float8 from tokens where id = $1"
    assert 500 < await staff.service.pool.fetchval(query, told["id"]) <= 600


async def lend(staff: Staff, client: Client) -> tuple[accounts.CreatedToken, Browsing, dict[str, Any]]:
    admin = await accounts.create_token(staff.service.pool, None, TokenKind.ADMIN)
    browsing = await staff.browsing(admin.secret.text)
    return admin, browsing, (await post(browsing, "token", account=client.account)).json


async def lets_in(staff: Staff, secret: str) -> bool:
    """At this moment, behind what processes remember of it."""
    return await staff.service.pool.fetchrow(statements("reads")["caller"], Secret(secret).digest) is not None


async def test_a_lent_token_ends_with_its_lenders(staff: Staff, client: Client) -> None:
    pool = staff.service.pool
    (admin, _, told), (_, _, others) = await lend(staff, client), await lend(staff, client)
    assert (await accounts.find_token(pool, told["id"])).lent_by == admin.token.id
    assert await lets_in(staff, told["secret"])
    await pool.execute("update tokens set expires_at = clock_timestamp() where id = $1", admin.token.id)
    assert not await lets_in(staff, told["secret"])
    assert await logs.revoked(pool, [told["id"], others["id"]]) == {told["id"]}
    await accounts.revoke_token(pool, admin.token.id)
    assert (await accounts.find_token(pool, told["id"])).revoked_at is not None
    assert await lets_in(staff, others["secret"])


async def test_a_lent_token_ends_with_the_login_it_was_lent_to(staff: Staff, client: Client) -> None:
    _, browsing, told = await lend(staff, client)
    assert await lets_in(staff, told["secret"])
    csrf = guard.sign(browsing.cookies["threadmill_console"], guard.CSRF)
    assert (await browsing.call("POST", "/console/logout", {"csrf": csrf})).status == 303
    assert not await lets_in(staff, told["secret"])
    assert (await accounts.find_token(staff.service.pool, told["id"])).revoked_at is not None


async def test_whoever_revokes_a_token_is_told_what_was_lent_with_it_and_the_log_counts_it(
    staff: Staff, operator: Browsing, client: Client
) -> None:
    pool = staff.service.pool
    admin, browsing, told = await lend(staff, client)
    over, others = [(await post(browsing, "token", account=client.account)).json for _ in range(2)]
    await pool.execute("update tokens set expires_at = clock_timestamp() where id = $1", over["id"])
    asked = await operator.open(f"/console/tokens/{admin.token.id}/revoke")
    assert "touches 1 token and 2 that the playground was lent with it" in asked.words
    assert "was revoked" in (await operator.confirm(f"/console/tokens/{admin.token.id}/revoke")).words
    assert await pool.fetchval("select touched from audit where action = 'token.revoke'") == 3
    assert not await lets_in(staff, told["secret"])
    assert not await lets_in(staff, others["secret"])


async def test_a_token_that_was_given_back_is_counted_once(operator: Browsing, staff: Staff, client: Client) -> None:
    told = (await post(operator, "token", account=client.account)).json
    for _ in range(3):
        assert (await post(operator, "return", token=told["id"], proof=told["proof"])).status == 200
    counts = await staff.service.pool.fetch("select touched from audit where action = 'token.revoke' order by id")
    assert [row["touched"] for row in counts] == [1, 0, 0]


async def test_what_is_lent_while_its_lender_is_revoked_lets_nobody_in(staff: Staff, client: Client) -> None:
    pool = staff.service.pool
    admin, _, _ = await lend(staff, client)
    await accounts.revoke_token(pool, admin.token.id)
    login = await pool.fetchval("select digest from console_sessions where token = $1", admin.token.id)
    loan = Loan(admin.token.id, login)
    late = await accounts.create_token(pool, client.account, TokenKind.HUMAN_PAT, life=60, loan=loan)
    assert not await lets_in(staff, late.secret.text)


async def test_nothing_is_lent_or_taken_back_behind_the_end_of_the_login_although_the_door_lets_it_in(
    staff: Staff, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TRUST", 600.0)
    pool = staff.service.pool
    for path in ("token", "return"):
        admin, browsing, told = await lend(staff, client)
        await pool.execute("update tokens set revoked_at = clock_timestamp() where id = $1", admin.token.id)
        seen = await post(browsing, path, account=client.account, token=told["id"], proof=told["proof"])
        assert (seen.status, seen.location) == (303, "/console/login?to=/console")
        assert await pool.fetchval("select count(*) from tokens where lent_by = $1", admin.token.id) == 1
        assert await pool.fetchval("select revoked_at is null from tokens where id = $1", told["id"])


async def test_a_viewer_is_lent_nothing(staff: Staff, viewer: Browsing, client: Client) -> None:
    before = await staff.service.pool.fetchval("select count(*) from tokens")
    refused = await post(viewer, "token", account=client.account)
    assert (refused.status, refused.json["error"]["code"]) == (403, "forbidden")
    assert "disabled" in (await viewer.open(PAGE)).text.split('id="lend"')[1].split(">")[0]
    assert await staff.service.pool.fetchval("select count(*) from tokens") == before


async def test_without_the_sessions_word_nothing_is_lent_or_taken_back(
    staff: Staff, operator: Browsing, client: Client
) -> None:
    assert (await post(operator, "token", account=client.account, csrf="guess")).status == 403
    other = await staff.browsing(staff.admin)
    told = (await post(operator, "token", account=client.account)).json
    for proof in ("", "guess", told["proof"]):  # of another session
        assert (await post(other, "return", token=told["id"], proof=proof)).status == 403
    assert (await post(operator, "return", token=client.token_id, proof=told["proof"])).status == 403
    assert (await post(operator, "return", token="x", proof="")).status == 400
    assert await staff.service.pool.fetchval("select count(*) from tokens where revoked_at is not null") == 0


@pytest.mark.parametrize("account", ["", "nobody", "a\nb"])
async def test_a_token_of_nobody_is_refused_in_words(operator: Browsing, account: str) -> None:
    refused = await post(operator, "token", account=account)
    assert refused.status in {400, 404}
    assert refused.json["error"]["message"]


async def test_names_are_found_by_the_page(staff: Staff, operator: Browsing, client: Client) -> None:
    db = staff.service.pool
    for number in range(60):
        await agents.create_agent(db, client.account, f"helper {number:02}", "echo", published=number > 0)
    first = (await operator.open(f"{PAGE}/agents?account={client.account}&named=HELP")).json
    assert [one["name"] for one in first["items"]] == [f"helper {number:02}" for number in range(50)]
    assert [one["published"] for one in first["items"]][:2] == [False, True]
    rest = (await operator.open(f"{PAGE}/agents?account={client.account}&named=HELP&after={first['after']}")).json
    assert (len(rest["items"]), rest["after"]) == (10, None)
    assert [one["name"] for one in (await operator.open(f"{PAGE}/accounts?named=ac")).json["items"]] == ["acme"]
    assert (await operator.open(f"{PAGE}/accounts?after=x")).status == 400
    assert (await staff.stranger().open(f"{PAGE}/accounts")).status == 303


async def test_the_page_begins_with_what_its_address_names(staff: Staff, operator: Browsing) -> None:
    assert "no account yet" in (await operator.open(PAGE)).words
    (await staff.service.client("acme")), (other := await staff.service.client("globex"))
    assert 'data-account-name="acme"' in (await operator.open(PAGE)).text
    for number in range(51):
        last = await agents.create_agent(staff.service.pool, other.account, f"helper {number}", "echo")
    await agents.set_default_agent(staff.service.pool, last.id)
    assert f'data-agent="{last.id}"' in (await operator.open(f"{PAGE}?account={other.account}")).text
    hidden = await agents.create_agent(staff.service.pool, other.account, "<b>hidden</b>", "echo")
    seen = await operator.open(f"{PAGE}?agent={hidden.id}")
    assert f'data-account="{other.account}"' in seen.text
    assert 'data-agent-name="&lt;b&gt;hidden&lt;/b&gt;" data-agent-published=""' in " ".join(seen.text.split()).replace(
        "\n", " "
    )
    assert (await operator.open(f"{PAGE}?thread={ids.mint()}")).status == 404
    assert (await accounts.create_token(staff.service.pool, None, TokenKind.ADMIN)).secret.text not in seen.text
