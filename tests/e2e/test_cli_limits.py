"""`threadmill account limit`, `account show`, `token limit`, and who was refused: as an operator types it."""

import asyncpg
import pytest
from redis.asyncio import Redis

from deploy.commands import limits
from deploy.errors import SetupError
from shared import ids
from shared.ids import BatchId, TokenId
from shared.inspect.limits import KINDS, NEAREST, SHOWN, TOKENS, limited
from shared.keys import Keys
from shared.queue import Queue, Waiting
from tests.e2e.command_line import Threadmill
from tests.prepared import execute, session
from tests.rows import Owner, add_owner, add_thread, fill

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def test_limits_are_set_shown_and_taken_back(
    threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool, redis: Redis, keys: Keys
) -> None:
    set_ = await threadmill("account", "limit", "acme", "--rate", "50", "--burst", "100", "--in-flight", "3", "--json")
    assert set_.document["limits"] == {"rate": 50.0, "burst": 100, "in_flight": 3, "concurrency": None}
    kept = await threadmill("account", "limit", "acme", "--concurrency", "none", "--in-flight", "default", "--json")
    assert kept.document["limits"] == {"rate": 50.0, "burst": 100, "in_flight": None, "concurrency": "none"}
    token = (await threadmill("token", "limit", owner.token, "--rate", "0.5", "--json")).document["limits"]
    assert (token["rate"], token["burst"]) == (0.5, None)
    await Queue(redis, keys).take([(25, [(keys.account_rate(owner.account), 20_000.0, 2_000_000.0)])])
    await Queue(redis, keys).note_refused({f"account_rate {owner.account} {owner.token}": 7, "of nobody": 1}, 10)
    shown = (await threadmill("account", "show", "acme", "--json", THREADMILL_ACCOUNT_IN_FLIGHT="9")).document
    by_name = {one["name"]: one for one in shown["limits"]}
    assert (by_name["account_rate"]["most"], by_name["account_rate"]["source"]) == (50.0, "own")
    assert 0 < by_name["account_rate"]["used"]["value"] <= 25
    assert (by_name["in_flight"]["most"], by_name["in_flight"]["source"]) == (9, "setting")
    assert by_name["token_rate"]["token"] == owner.token
    (refused,) = shown["limited"]
    assert (refused["limit"], refused["account_name"], refused["count"]) == ("account_rate", "acme", 7)
    table = await threadmill("account", "show", "acme")
    assert "50 requests a second" in table.out
    assert "refused by" in (await threadmill("queue", "status")).out
    assert len((await threadmill("queue", "status", "--json")).document["limited"]) == 1
    away = await threadmill("account", "show", "acme", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert [one["used"] for one in away.document["limits"] if one["name"] == "account_rate"] == [None]
    log = await pool.fetch("select action, reason, result from audit order by id")
    assert tuple(log[0]) == ("account.limit", "rate 50.0, burst 100, in_flight 3", "done")
    assert [row["action"] for row in log] == ["account.limit", "account.limit", "token.limit"]


async def test_limits_of_the_settings_are_shown_with_who_is_nearest_to_them(
    threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool, redis: Redis, keys: Keys
) -> None:
    own, _, *busy = await tokens_of(pool, owner, 23 + 2)
    await threadmill("token", "limit", own, "--rate", "7")
    rate = (1e6 / 0.01, 1e6 / 0.01 * 100)
    await Queue(redis, keys).take([(n + 1, [(keys.token_rate(token), *rate)]) for n, token in enumerate(busy)])
    await Queue(redis, keys).ring([Waiting(partition, BatchId(partition), 1) for partition in (1, 63)])
    given = {"THREADMILL_TOKEN_RATE": "0.01", "THREADMILL_TOKEN_BURST": "100", "THREADMILL_BACKLOG_LIMIT": "4321"}
    shown = (await threadmill("account", "show", "acme", "--json", **given)).document
    each, first, *others = [one for one in shown["limits"] if one["name"] == "token_rate"]
    assert (each["token"], each["most"], each["burst"], each["used"]["value"]) == (None, 0.01, 100, 23)
    assert (first["token"], first["most"], first["source"]) == (own, 7.0, "own")
    assert [one["token"] for one in others] == busy[: -NEAREST - 1 : -1]
    assert [one["used"]["value"] for one in others] == list(range(23, 3, -1))
    assert (shown["unshown"], shown["unlooked"]) == (3, False)
    backlog = shown["limits"][-1]
    assert (backlog["name"], backlog["most"], backlog["used"]["value"]) == ("backlog", 4321, 2)
    status = (await threadmill("queue", "status", "--json", **given)).document
    assert status["backlog"] == backlog
    assert "of 4,321: above that requests get 503" in (await threadmill("queue", "status", **given)).out
    await pool.execute("update tokens set expires_at = now() where id = $1", busy[-1])
    over = (await threadmill("account", "show", "acme", "--json", **given)).document
    assert [one["token"] for one in over["limits"] if one["token"]] == [own, *busy[-2 : -NEAREST - 2 : -1]]
    await pool.execute("update tokens set expires_at = null where id = $1", busy[-1])
    await tokens_of(pool, owner, TOKENS)
    table = await threadmill("account", "show", "acme", **given)
    assert "4,321 batches that wait" in table.out
    assert table.err.splitlines() == [
        "3 more tokens have used their rate lately.",
        "It has more tokens: only the oldest 1,000 were looked at.",
    ]
    away = (await threadmill("account", "show", "acme", "--json", REDIS_URL="redis://127.0.0.1:1/0", **given)).document
    (each, first) = [one for one in away["limits"] if one["name"] == "token_rate"]
    assert (each["most"], each["used"], first["token"], away["limits"][-1]["used"]) == (0.01, None, own, None)


async def tokens_of(pool: asyncpg.Pool, owner: Owner, many: int) -> list[TokenId]:
    """New ones, the oldest first."""
    made = [TokenId(ids.mint()) for _ in range(many)]
    await pool.execute(
        "insert into tokens (id, account, kind, digest, prefix)"
        " select id, $2, 'human_pat', sha256(id::text::bytea), 'mst_' from unnest($1::uuid[]) id",
        *(made, owner.account),
    )
    return made


async def test_a_limit_that_is_none_is_refused_by_its_name(
    threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool
) -> None:
    for words, code, name in (
        ("account limit acme", 2, "rate, burst, in_flight, concurrency"),
        ("account limit acme --rate 0", 2, "rate"),
        ("account limit acme --rate nan", 2, "rate"),
        ("account limit acme --rate=-1", 2, "rate"),
        ("account limit acme --burst none", 2, "burst"),
        ("account limit acme --in-flight 1e3", 2, "--in-flight"),
        ("account limit acme --in-flight 100001", 2, "in_flight"),
        ("account limit nobody --rate 5", 1, "nobody"),
        ("token limit x --rate 5", 1, "token"),
        ("token limit 00000000000000000000000000 --rate 5", 1, "token"),
    ):
        ended = await threadmill(*words.split())
        assert (words, ended.code, name in ended.err, ended.out) == (words, code, True, "")
    assert await pool.fetchval("select count(*) from accounts where rate is not null or in_flight is not null") == 0


@pytest.mark.parametrize("text", ["１２", "1_0", " 5", "5 ", "+5", "1e3", "0x5", "5\n", "", "inf", "9" * 5_000])  # noqa: RUF001 - that is what is refused
@pytest.mark.parametrize("kind", [int, float])
def test_only_plain_digits_are_a_number(text: str, kind: type) -> None:
    with pytest.raises(SetupError, match=r"^--burst .*in plain digits.*, or one of default, none$"):
        limits._number("--burst", text, kind)
    assert (limits._number("--burst", "050", kind), limits._number("--rate", "0.5", float)) == (50, 0.5)


async def test_of_many_that_were_refused_the_latest_are_kept(redis: Redis, keys: Keys, pool: asyncpg.Pool) -> None:
    queue = Queue(redis, keys)
    owners = [await add_owner(pool, f"account {n}") for n in range(3)]
    await queue.note_refused({f"in_flight {owners[0].account} {owners[0].token}": 1}, 2)
    for owner in owners[1:]:
        await queue.note_refused({f"in_flight {owner.account} {owner.token}": 2}, 2)
    found = await limited(pool, redis, keys)
    assert [(one.account_name, one.count) for one in found] == [("account 2", 2), ("account 1", 2)]
    assert await redis.execute_command("HLEN", keys.limited_counts) == 2
    await queue.note_refused({f"in_flight {n}": 1 for n in range(5 * SHOWN)}, SHOWN)
    assert await redis.execute_command("ZCARD", keys.limited) == SHOWN


@pytest.mark.straight
async def test_reads_of_limits_go_by_the_index_and_no_further_than_their_bound(
    database_url: str, pool: asyncpg.Pool
) -> None:
    owner, other = await add_owner(pool), await add_owner(pool, "other")
    await fill(pool, other, await add_thread(pool, other), 20_000)
    await fill(pool, owner, await add_thread(pool, owner), 2_000)
    await tokens_of(pool, owner, 5_000)
    for mode in ("force_generic_plan", "force_custom_plan"):
        connection = await session(database_url, mode, "limits")
        plan = await execute(connection, "limits", "in_flight", owner.account, 50)
        assert sum(scan.read + scan.removed for scan in plan.scans if scan.table == "batches") <= 51
        plan = await execute(connection, "limits", "of_tokens", owner.account, KINDS, 50)
        assert (plan.rows, plan.looked_at <= 50 * len(KINDS)) == (50, True), plan
        await connection.close()
