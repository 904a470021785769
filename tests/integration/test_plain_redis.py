"""Redis holds what the page says, and each key reads as any other of its type: for redis-cli, arq's tools and KEDA."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.asyncio import Redis

from shared import ids
from shared.keys import Keys
from shared.queue import APPLY, EXECUTE, Queue, open_redis
from shared.settings import Settings
from tests.service import Client, message, running_service
from tests.watch import until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
# Of each key of the page, with `<…>` in it, what type it has.
ROWS = {
    key: row[2].lower()
    for row in re.finditer(r"^\| ((?:`(?:arq|threadmill):[^`]+` ?)+) \| (\w+) \|", PAGE, re.MULTILINE)
    for key in re.findall(r"`([^`]+)`", row[1])
}
# What KEDA 2's scaler `redis` asks for, in our words: the length of whatever the key is (pkg/scalers/redis_scaler.go).
LENGTH = """
local asked = {zset = 'zcard', set = 'scard', list = 'llen', hash = 'hlen', none = 'llen'}
return redis.call(asked[redis.call('type', KEYS[1]).ok], KEYS[1])
"""
# The fields that the two scalers have, of those that make sense here (keda.sh/docs/2.19/scalers).
FIELDS = {
    "redis": {"address", "listName", "listLength", "activationListLength", "databaseIndex", "enableTLS"},
    "prometheus": {"serverAddress", "query", "threshold", "activationThreshold", "ignoreNullValues"},
}


def rows_of(key: str) -> list[str]:
    """The rows that a key may be."""
    return [row for row in ROWS if re.fullmatch(re.sub(r"<[^>]+>", "[^:]+(:[^:]+){0,2}", row), key)]


def keys() -> dict[str, str]:
    """Every key and channel that `Keys` can name, by what it is called there."""
    found, named = {}, Keys()
    for name, member in inspect.getmembers(Keys):
        if isinstance(member, property):
            found[name] = getattr(named, name)
        elif inspect.isfunction(member) and not name.startswith("_"):
            (argument,) = list(inspect.signature(member).parameters)[1:]
            values = (APPLY, EXECUTE) if argument == "role" else ("7",)
            found |= {f"{name}({value})": getattr(named, name)(value) for value in values}
    return {name: key for name, key in found.items() if not key.endswith(":")}  # a prefix of others


def test_every_key_has_its_row_and_every_row_its_key() -> None:
    named = {name: rows_of(key) for name, key in keys().items()}
    assert all(named.values()), named
    described = {row for rows in named.values() for row in rows}
    assert {row for row in ROWS if row.startswith("threadmill:")} <= described


@pytest.fixture
def small(settings: Settings) -> Settings:
    """With so small a limit that somebody is refused."""
    return settings.model_copy(update={"token_rate": 0.01, "token_burst": 4})


async def in_use(client: Client, thread: str, queue: Queue) -> None:
    """Batches and a run that wait for a worker, and somebody who asked too often."""
    for _ in range(4):
        await client.send(thread, message(), Prefer="respond-async")
    await queue.call([ids.ThreadId(ids.mint())])


async def present(redis: Redis, prefix: str) -> dict[str, str]:
    """Our keys and arq's, without the prefix, and their types."""
    found = [key async for key in redis.scan_iter(match="*", count=1000)]
    ours = [key.decode() for key in found if key.decode().startswith((prefix, "arq:"))]
    kinds = {key.removeprefix(prefix): (await redis.type(key)).decode() for key in ours}
    return {key: kind for key, kind in kinds.items() if kind != "none"}  # a worker has taken it since


async def test_on_a_live_service_every_key_has_the_type_that_its_row_says(small: Settings, redis: Redis) -> None:
    named, queue = Keys(small.redis_prefix), Queue(open_redis(small.redis_url, 1), Keys(small.redis_prefix))
    seen: dict[str, str] = {}
    async with running_service(small, worker=False) as service:
        client = await service.client("acme")
        thread = await client.new_thread("hello")
        seen |= await present(redis, small.redis_prefix)  # at once: marks live for two seconds
        await in_use(client, thread, queue)
        await until(lambda: redis.zcard(named.limited))
        seen |= await present(redis, small.redis_prefix)
        lengths = await lengths_of(redis, small.redis_prefix)
    async with running_service(small.model_copy(update={"ring": False}), roles="all"):
        await until(lambda: redis.keys(named.worker("*")))
        seen |= await present(redis, small.redis_prefix)
        channels = [name.decode() for name in await redis.pubsub_channels(f"{small.redis_prefix}*")]
    await queue.close()
    wrong = {key: kind for key, kind in seen.items() if {ROWS.get(row) for row in rows_of(key)} != {kind}}
    assert not wrong
    assert {row for key in seen for row in rows_of(key)} >= {
        *("arq:queue", "arq:queue:execute", "arq:job:<id>", "threadmill:waiting:<p>", "threadmill:rung:<p>"),
        *("threadmill:wake:<role>", "threadmill:worker:<id>", "threadmill:rate:token:<id>", "threadmill:limited"),
    }
    told = [rows_of(name.removeprefix(small.redis_prefix)) for name in channels]
    assert told
    assert all({ROWS[row] for row in rows} == {"channel"} for rows in told), channels
    assert all(asked == counted for asked, counted in lengths.values()), lengths
    assert {name: asked for name, (asked, _) in lengths.items() if name != "arq:queue"} == {
        "arq:queue:execute": 1,
        "threadmill:waiting:<p>": 4,
        "arq:nothing": 0,
    }
    assert lengths["arq:queue"][0] >= 1  # a mark that is older than two seconds lets the same partition ring again


async def lengths_of(redis: Redis, prefix: str) -> dict[str, tuple[int, int]]:
    """What KEDA would see, and what ZCARD says."""
    named: Any = Keys(prefix)
    (waiting,) = [key async for key in redis.scan_iter(match=f"{prefix}threadmill:waiting:*")]
    asked = {
        "arq:queue": named.queue(APPLY),
        "arq:queue:execute": named.queue(EXECUTE),
        "threadmill:waiting:<p>": waiting,
        "arq:nothing": f"{prefix}arq:nothing",
    }
    return {
        name: (int(await redis.execute_command("EVAL", LENGTH, 1, key)), await redis.zcard(key))
        for name, key in asked.items()
    }


def test_the_example_for_keda_asks_for_what_there_is() -> None:
    documents = list(
        yaml.safe_load_all((ROOT / "deploy" / "k8s" / "components" / "keda" / "keda.yaml").read_text(encoding="utf-8"))
    )
    assert {document["apiVersion"] for document in documents} == {"keda.sh/v1alpha1"}
    scaled = [document["spec"] for document in documents if document["kind"] == "ScaledObject"]
    secrets = {d["metadata"]["name"] for d in documents if d["kind"] == "TriggerAuthentication"}
    triggers = [trigger for spec in scaled for trigger in spec["triggers"]]
    assert [trigger["type"] for trigger in triggers] == ["redis", "prometheus"] * 2
    for trigger in triggers:
        metadata = trigger["metadata"]
        assert metadata.keys() <= FIELDS[trigger["type"]]
        assert all(isinstance(value, str) for value in metadata.values())  # KEDA takes no other type
        assert trigger.get("authenticationRef", {"name": "threadmill-redis"})["name"] in secrets
    assert {t["metadata"]["listName"] for t in triggers if t["type"] == "redis"} == {
        Keys().queue(APPLY),
        Keys().queue(EXECUTE),
    }
    asked = re.findall(r"threadmill_\w+", " ".join(t["metadata"].get("query", "") for t in triggers))
    known = set(re.findall(r"\| `(threadmill_\w+)` \|", (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")))
    assert set(asked) <= known
    assert len(set(asked)) == 3
    assert all(spec["minReplicaCount"] >= 1 and spec["fallback"]["replicas"] >= 1 for spec in scaled)
