"""The doctor on the servers themselves: what ails Redis or Postgres is named, and gone when it is mended."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from deploy import children, embedded, ports
from shared.db.connect import open_pool
from shared.inspect.doctor import Doctor, diagnose
from shared.inspect.facts import Facts
from shared.inspect.servers import Replica
from shared.inspect.symptoms import problems_of
from shared.keys import Keys
from shared.queue import open_redis
from shared.settings import Settings
from tests.practice import Practice
from tests.watch import until


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[embedded.Server]:
    server = await embedded.start_redis(tmp_path, ports.pick(), secrets.token_hex(8))
    yield server
    await children.end(server.process, server.command)


async def test_each_problem_of_redis_is_named_and_gone_when_it_is_mended(
    practice: Practice, own_redis: embedded.Server, tmp_path: Path
) -> None:
    redis = open_redis(own_redis.url, 1)
    practice.doctor.redis = redis
    practice.doctor.settings = practice.doctor.settings.model_copy(update={"backlog_limit": 10})
    assert await practice.problems() == {}

    async def told(code: str) -> None:
        assert set(await practice.problems()) == {code}

    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await told("redis_evicts")
    await redis.config_set("maxmemory-policy", "noeviction")
    await redis.config_set("maxmemory", str((await redis.info())["used_memory"] + 1000))
    await told("redis_full")
    await redis.config_set("maxmemory", "0")
    await redis.execute_command("replicaof", "127.0.0.1", "1")
    await told("redis_read_only")
    await redis.execute_command("replicaof", "no", "one")
    members = {str(batch): 1 << 42 for batch in range(9)}
    await redis.zadd(practice.doctor.keys.waiting(0), members)  # accepted in a far future: not looked up
    await told("backlog_near_limit")
    await redis.delete(practice.doctor.keys.waiting(0))
    await _fail_to_save(redis, tmp_path / "gone")
    await told("redis_persistence")
    await redis.config_set("dir", str(tmp_path))
    await redis.save()
    await redis.bgsave()
    await _saved(redis, "ok")
    assert await practice.problems() == {}
    await children.end(own_redis.process, own_redis.command)
    await told("redis_away")
    await redis.aclose()


async def _fail_to_save(redis: Redis, directory: Path) -> None:
    await asyncio.to_thread(directory.mkdir)
    await redis.config_set("dir", str(directory))
    await asyncio.to_thread(directory.rmdir)
    await redis.bgsave()
    await _saved(redis, "err")


async def _saved(redis: Redis, status: str) -> None:
    async def settled() -> bool:
        info = await redis.info()
        return info["rdb_last_bgsave_status"] == status and not info["rdb_bgsave_in_progress"]

    await until(settled)


async def test_without_postgres_it_says_so_and_looks_at_redis(settings: Settings, redis: Redis) -> None:
    gone = await open_pool("postgresql://127.0.0.1:1/nowhere")
    found = await diagnose(gone, redis, Keys(settings.redis_prefix), settings)
    assert [one.code for one in found] == ["postgres_away"]
    assert "127.0.0.1" in found[0].what
    gone.terminate()
    found = await Doctor(None, redis, Keys(settings.redis_prefix), settings).diagnose()
    assert [one.code for one in found] == ["postgres_away"]


async def test_what_takes_a_server_of_its_own_is_judged_from_what_one_said(
    practice: Practice, settings: Settings
) -> None:
    """A crowded Postgres, one that is a replica, one whose replica is late, one that keeps what it is told."""
    facts = await practice.doctor.look()
    assert facts.stored is not None

    def codes(**changed: Any) -> set[str]:
        assert facts.stored is not None
        health = replace(facts.stored.health, **{"fsync": "on", "full_page_writes": "on", **changed})
        return {one.code for one in problems_of(replace(facts, stored=replace(facts.stored, health=health)), settings)}

    assert codes() == set()
    assert codes(fsync="off") == codes(full_page_writes="off") == {"postgres_unsafe"}
    assert codes(connections=86, connections_limit=100) == {"postgres_connections"}
    assert codes(in_recovery=True) == {"postgres_read_only"}
    late = Replica("standby", "streaming", "async", 1 << 30, 2.0)
    prompt = replace(late, bytes=0, sync_state="sync")
    assert codes(replicas=(late, prompt)) == {"postgres_replica_late"}
    assert codes(replicas=(replace(prompt, seconds=31.0),)) == {"postgres_replica_late"}
    lagging, unseen = replace(prompt, sync_state="async"), Replica("standby", None, None, None, None)
    assert codes(replicas=(lagging,)) == {"postgres_replica_async"}
    assert codes(replicas=(replace(lagging, name="pg_receivewal"),)) == set()
    assert codes(replicas=(unseen,)) == codes(synchronous_standbys="b", replicas=(unseen,)) == set()
    assert codes(synchronous_standbys="FIRST 1 (b)", replicas=(prompt, lagging)) == set()
    assert codes(synchronous_standbys="FIRST 1 (b)", replicas=(lagging,)) == {"postgres_waits"}
    assert codes(synchronous_standbys="FIRST 1 (b)", replicas=()) == {"postgres_waits"}
    assert codes(unbounded=True) == {"postgres_pooler"}
    assert problems_of(Facts(None, None), settings)[0].code == "postgres_away"
