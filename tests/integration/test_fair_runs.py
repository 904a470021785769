"""Whose runs execute: an account with many that wait does not keep another one's waiting, and caps hold."""

import pytest

from shared.limits import NO_LIMIT
from shared.settings import Settings
from tests.agents import Stage
from tests.pipeline import running_crew
from tests.service import Client, Service, running_service
from tests.watch import until

MANY = 24


async def make_ready(service: Service, client: Client, runs: int, text: str = "hello") -> list[str]:
    """Threads whose runs wait for a worker."""
    await Stage(service, client).become("worker.runners.demo:echo")
    replies = [await client.create(text, Prefer="respond-async") for _ in range(runs)]

    async def there() -> bool:
        ready: int = await service.pool.fetchval(
            "select count(*) from threads where account = $1 and ready_at is not null", client.account
        )
        return ready == runs

    await until(there)
    return [reply.json["thread"]["id"] for reply in replies]


async def count(service: Service, client: Client, status: str) -> int:
    """Runs of the account with this status."""
    found: int = await service.pool.fetchval(
        "select count(*) from runs r join threads t on t.id = r.thread where t.account = $1 and r.status = $2",
        *(client.account, status),
    )
    return found


@pytest.mark.slow
@pytest.mark.long
async def test_an_account_with_many_runs_keeps_another_one_waiting_for_one_of_them(settings: Settings) -> None:
    few = settings.model_copy(update={"concurrency": 2})
    async with running_service(few) as service:  # nobody executes
        noisy, quiet = await service.client("noisy"), await service.client("quiet")
        await make_ready(service, noisy, MANY, "/slow 1")  # longer than it takes to look whose runs wait
        await make_ready(service, quiet, 2)
        async with running_crew(few, "execute"):
            await until(lambda: _all(service, quiet, 2), 20)
            rows = await service.pool.fetch(
                "select t.account from runs r join threads t on t.id = r.thread where r.started_at is not null"
                " order by r.started_at"
            )
            order = [row["account"] for row in rows]
            assert order.index(quiet.account) <= 8, "only those that were taken before anybody was looked up"


async def _all(service: Service, client: Client, runs: int) -> bool:
    return await count(service, client, "completed") == runs


@pytest.mark.slow
async def test_an_account_executes_no_more_runs_than_its_cap_and_others_take_the_room(settings: Settings) -> None:
    capped = settings.model_copy(update={"concurrency": 6, "account_concurrency": 2})
    async with running_service(capped) as service:
        noisy, quiet = await service.client("noisy"), await service.client("quiet")
        threads = await make_ready(service, noisy, 5, "/slow 60")
        await make_ready(service, quiet, 3, "/slow 60")
        await service.pool.execute("update accounts set concurrency = 3 where id = $1", quiet.account)

        async def running(of_noisy: int, of_quiet: int) -> bool:
            return [await count(service, one, "running") for one in (noisy, quiet)] == [of_noisy, of_quiet]

        async with running_crew(capped, "execute"):
            await until(lambda: running(2, 3))
            stopped = await service.pool.fetchval("select thread from leases where thread = any($1) limit 1", threads)
            assert (await noisy.send(stopped, {"type": "user_interrupt"})).status == 200
            await until(lambda: _left(service, noisy, 2))  # another one came into its place, and no more than that
            await until(lambda: running(2, 3))
            await service.pool.execute("update accounts set concurrency = $2 where id = $1", noisy.account, NO_LIMIT)
            await until(lambda: running(3, 3))


async def _left(service: Service, client: Client, waiting: int) -> bool:
    """Whether so many of the account's threads wait for a worker, and two have one."""
    rows = await service.pool.fetchrow(
        "select count(*) filter (where ready_at is not null and l.run is null) as waiting, count(l.run) as taken"
        " from threads t left join leases l on l.thread = t.id where t.account = $1",
        client.account,
    )
    return bool(rows["waiting"] == waiting and rows["taken"] == 2)
