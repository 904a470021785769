"""Any number of apis and workers on several hosts, as far as one machine can tell: each host is an address of its own.

What comes from which host the servers can't tell here; that is for hosts of a network (`test_cut_links`).
"""

import asyncio

import asyncpg
import pytest

from tests.faults.clients import Load, Sender, chance
from tests.faults.scene import scene
from tests.faults.servers import Servers
from tests.faults.waiting import until
from tests.hosts.cluster import Cluster, Loopback

HOSTS = 3
WORKERS = 2  # of each host
BATCHES = 900

pytestmark = [pytest.mark.slow, pytest.mark.long]


async def test_a_host_less_is_nothing_lost(servers: Servers) -> None:
    """Three hosts with an api and two workers each; one is gone at once, in the middle of the load."""
    places = [Loopback(f"127.0.0.{n + 2}") for n in range(HOSTS)]
    async with Cluster(servers, await servers.new_database(), servers.redis.url) as cluster:
        for place in places:
            cluster.api_at(place)
            for _ in range(WORKERS):
                cluster.worker_at(place)
        async with scene(cluster) as s:
            threads = [await s.new_thread(cluster.apis[0]) for _ in range(30)]
            sender = Sender(cluster.session, [api.url for api in cluster.apis], s.token, chance(3))
            load = Load(sender, threads, seed=3, batches=BATCHES, pace=90.0)
            loading = asyncio.create_task(load.run())
            await until("some are applied", lambda: _applied(s.db, BATCHES // 4))
            await asyncio.gather(*(member.kill() for member in cluster.at(places[1])))
            await loading
            s.history += load.history
            assert await s.violations() == []
            assert (
                sum(request.acknowledged for request in load.history) > 0.95 * BATCHES
            )  # those without a key may not know
            ids = [row["id"] for row in await s.db.fetch("select id from workers")]
            assert len(ids) == len(set(ids)) == HOSTS * WORKERS


async def _applied(db: asyncpg.Connection, least: int) -> bool:
    applied: int = await db.fetchval("select count(*) from batches where applied_at is not null")
    return applied >= least
