"""Accounts, tokens and agents in Postgres."""

import asyncio

import asyncpg
import pytest

from shared import accounts, agents, ids
from shared.accounts import Account
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.ids import AccountId, AgentId, TokenId
from shared.models import BusyPolicy, OnExpired, TokenKind


@pytest.fixture
async def acme(pool: asyncpg.Pool) -> Account:
    return await accounts.create_account(pool, "acme")


async def test_an_account_is_found_by_its_name_and_by_its_id(pool: asyncpg.Pool, acme: Account) -> None:
    assert await accounts.find_account(pool, "acme") == acme
    assert await accounts.find_account(pool, acme.id.lower()) == acme
    assert (await accounts.list_accounts(pool, 10)).items == [acme]


async def test_an_account_named_like_the_id_of_another_does_not_hide_it(pool: asyncpg.Pool, acme: Account) -> None:
    await accounts.create_account(pool, acme.id)
    assert (await accounts.find_account(pool, acme.id)).name == "acme"


async def test_a_name_is_taken_once_however_many_ask_at_once(pool: asyncpg.Pool) -> None:
    made = await asyncio.gather(*(accounts.create_account(pool, "acme") for _ in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["Account", "Conflict", "Conflict", "Conflict"]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "nul\0", "\ud800", "x" * 129])
async def test_a_name_that_cannot_be_shown_is_refused(pool: asyncpg.Pool, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await accounts.create_account(pool, name)


async def test_what_an_unknown_account_would_own_is_refused(pool: asyncpg.Pool) -> None:
    nobody = AccountId(ids.mint())
    with pytest.raises(NotFound):
        await accounts.create_token(pool, nobody, TokenKind.HUMAN_PAT)
    with pytest.raises(NotFound):
        await agents.create_agent(pool, nobody, "echo", "echo")
    with pytest.raises(NotFound):
        await accounts.find_account(pool, "nobody")


async def test_a_token_keeps_its_digest_and_shows_its_prefix(pool: asyncpg.Pool, acme: Account) -> None:
    created = await accounts.create_token(pool, acme.id, TokenKind.SERVICE_TOKEN, "billing")
    row = await pool.fetchrow("select digest, prefix, kind from tokens")
    assert row["digest"] == created.secret.digest
    assert created.secret.text.startswith(row["prefix"])
    assert row["kind"] == "service_token"
    assert (await accounts.list_tokens(pool, 10, acme.id)).items == [created.token]


async def test_an_admin_token_belongs_to_no_account_and_every_other_to_one(pool: asyncpg.Pool, acme: Account) -> None:
    assert (await accounts.create_token(pool, None, TokenKind.ADMIN)).token.account is None
    with pytest.raises(InvalidRequest):
        await accounts.create_token(pool, acme.id, TokenKind.ADMIN)
    with pytest.raises(InvalidRequest):
        await accounts.create_token(pool, None, TokenKind.HUMAN_PAT)


async def test_a_token_issued_elsewhere_is_taken_over_once(pool: asyncpg.Pool, acme: Account) -> None:
    secret = "grt_svc_" + "k" * 40
    token = await accounts.import_token(pool, acme.id, secret, "old")
    assert (token.kind, token.prefix) == (TokenKind.SERVICE_TOKEN, "grt_svc_kkkkkk")
    with pytest.raises(Conflict) as refused:
        await accounts.import_token(pool, acme.id, secret)
    assert secret not in str(refused.value)


async def test_revoking_twice_keeps_the_first_time(pool: asyncpg.Pool, acme: Account) -> None:
    created = await accounts.create_token(pool, acme.id, TokenKind.HUMAN_PAT)
    first = await accounts.revoke_token(pool, created.token.id)
    assert first.revoked_at is not None
    assert await accounts.revoke_token(pool, created.token.id) == first
    with pytest.raises(NotFound):
        await accounts.revoke_token(pool, TokenId(ids.mint()))


async def test_an_agent_comes_back_as_it_was_made(pool: asyncpg.Pool, acme: Account) -> None:
    agent = await agents.create_agent(
        pool,
        acme.id,
        "echo",
        "echo",
        config={"delay": 1.5, "parts": ["a", None]},
        busy_policy=BusyPolicy.STEER,
        kind="pet",
    )
    assert await agents.find_agent(pool, agent.id) == agent == await agents.find_agent(pool, "echo")
    assert agent.config == {"delay": 1.5, "parts": ["a", None]}
    assert (agent.busy_policy, agent.kind, agent.published) == (BusyPolicy.STEER, "pet", False)
    assert (await agents.list_agents(pool, 10, acme.id)).items == [agent]


async def test_an_agents_name_is_unique_in_its_account_only(pool: asyncpg.Pool, acme: Account) -> None:
    other = await accounts.create_account(pool, "other")
    mine = await agents.create_agent(pool, acme.id, "echo", "echo")
    with pytest.raises(Conflict):
        await agents.create_agent(pool, acme.id, "echo", "echo")
    await agents.create_agent(pool, other.id, "echo", "echo")
    with pytest.raises(Conflict):
        await agents.find_agent(pool, "echo")
    assert await agents.find_agent(pool, "echo", acme.id) == mine


async def test_an_agent_is_published_and_closed_again(pool: asyncpg.Pool, acme: Account) -> None:
    agent = await agents.create_agent(pool, acme.id, "echo", "echo")
    assert (await agents.publish_agent(pool, agent.id)).published
    closed = await agents.unpublish_agent(pool, agent.id)
    assert not closed.published
    assert closed.updated_at > agent.updated_at
    with pytest.raises(NotFound):
        await agents.publish_agent(pool, AgentId(ids.mint()))


async def test_the_default_agent_is_the_first_until_another_is_chosen(pool: asyncpg.Pool, acme: Account) -> None:
    first = await agents.create_agent(pool, acme.id, "first", "echo")
    second = await agents.create_agent(pool, acme.id, "second", "echo")
    assert (first.is_default, second.is_default) == (True, False)
    assert (await agents.set_default_agent(pool, second.id)).is_default
    assert [agent.is_default for agent in (await agents.list_agents(pool, 10)).items] == [False, True]
    assert not (await agents.find_agent(pool, first.id)).is_default


async def test_an_agent_of_another_kind_or_without_a_runner_is_refused(pool: asyncpg.Pool, acme: Account) -> None:
    with pytest.raises(InvalidRequest):
        await agents.create_agent(pool, acme.id, "echo", "echo", kind="herd")
    with pytest.raises(InvalidRequest):
        await agents.create_agent(pool, acme.id, "echo", " ")


async def test_an_agent_is_changed_in_what_was_given_only(pool: asyncpg.Pool, acme: Account) -> None:
    agent = await agents.create_agent(pool, acme.id, "echo", "echo", run_timeout=30, on_expired=OnExpired.EXPIRE)
    changed = await agents.change_agent(pool, agent.id, config={"a": 1})
    assert (changed.config, changed.run_timeout, changed.on_expired) == ({"a": 1}, 30, OnExpired.EXPIRE)
    assert changed.updated_at > agent.updated_at
    changed = await agents.change_agent(pool, agent.id, run_timeout=0, on_expired=OnExpired.CONTINUE)
    assert (changed.config, changed.run_timeout, changed.on_expired) == ({"a": 1}, None, OnExpired.CONTINUE)
    with pytest.raises(NotFound):
        await agents.change_agent(pool, AgentId(ids.mint()), run_timeout=5)


@pytest.mark.parametrize("seconds", [-1, 31_536_001])
async def test_a_run_time_out_that_no_run_can_have_is_refused(pool: asyncpg.Pool, acme: Account, seconds: int) -> None:
    agent = await agents.create_agent(pool, acme.id, "echo", "echo")
    with pytest.raises(InvalidRequest, match="run_timeout"):
        await agents.create_agent(pool, acme.id, "other", "echo", run_timeout=seconds)
    with pytest.raises(InvalidRequest, match="run_timeout"):
        await agents.change_agent(pool, agent.id, run_timeout=seconds)
    assert (await agents.list_agents(pool, 10)).items == [agent]
