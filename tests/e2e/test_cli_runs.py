"""`threadmill run`: what an operator sees of runs and does to them, beside a service that works."""

from collections.abc import AsyncIterator

import pytest

import api.operator
from api.operator import OPERATOR, Came
from shared import ids
from shared.inspect import auditlog
from shared.inspect.auditlog import Wanted
from shared.settings import Settings
from tests.e2e.command_line import Ended, Threadmill
from tests.e2e.terminal import at_terminal
from tests.pipeline import PARTITIONS
from tests.service import Client, Service, message, running_service
from tests.watch import until

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with running_service(settings) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> Client:
    return await service.client("acme")


async def queue(client: Client, *texts: str) -> tuple[str, list[str]]:
    """A thread with a queued run for each text."""
    thread = await client.new_thread()
    sent = (await client.send(thread, *[message(text) for text in texts])).json
    return thread, [event["run"]["id"] for event in sent["events"]]


def refused(ended: Ended, *words: str) -> None:
    """It failed, and says why in one line."""
    assert (ended.code, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    for word in words:
        assert word in ended.err


async def test_an_operator_interrupts_a_queued_run_and_retries_it(
    service: Service, client: Client, threadmill: Threadmill
) -> None:
    thread, (current, run) = await queue(client, "a", "b")
    asked = await threadmill("run", "interrupt", run)
    assert (asked.code, asked.out, "has to be confirmed" in asked.err) == (2, "", True)
    assert await service.pool.fetchval("select status from runs where id = $1", run) == "queued"
    done = (await threadmill("run", "interrupt", run.lower(), "--yes", "--json")).document
    assert (done["done"], done["run"]["id"], done["run"]["status"]) == ("interrupted", run, "cancelled")
    assert done["warnings"] == []
    again = (await threadmill("run", "retry", run, "--thread", thread, "--json")).document
    retry = again["run"]
    assert (again["done"], retry["trigger"], retry["status"], retry["place"]) == ("retried", "retry", "queued", 1)
    assert (retry["input"], retry["thread"]) == ("b", thread)
    assert [(w["code"], w["runId"]) for w in again["warnings"]] == [("queued_behind", current)]
    read = (await client.call("GET", f"/threads/{thread}/runs/{retry['id']}")).json
    assert (read["trigger"], read["queuePosition"]) == ("retry", 1)
    tokens = await service.pool.fetch("select distinct token from batches")
    assert {row["token"] for row in tokens} == {OPERATOR, client.token_id}


@pytest.mark.slow
async def test_a_process_of_its_own_ends_in_good_order_and_prints_one_document(
    client: Client, threadmill_process: Threadmill
) -> None:
    _, (run,) = await queue(client, "a")
    for verb, done, yes in (("interrupt", "interrupted", ["--yes"]), ("retry", "retried", [])):
        ended = await threadmill_process("run", verb, run, "--json", *yes)
        assert (ended.document["done"], ended.err, len(ended.out.splitlines())) == (done, "", 1)
    refused(await threadmill_process("run", "interrupt", run, "--yes"), "run_already_finished")


async def test_a_permission_is_decided_once_and_the_log_says_by_whom(
    service: Service, client: Client, threadmill: Threadmill
) -> None:
    thread, (run,) = await queue(client, "may I?")
    partition, request = ids.partition_of(ids.Ulid(thread), PARTITIONS), ids.mint()
    await service.pool.execute("update runs set status = 'waiting_input', started_at = created_at where id = $1", run)
    await service.pool.execute(
        "insert into permission_requests (partition, thread, id, run, key, title, created_at)"
        " values ($1, $2, $3, $4, 'step-1', 'May I?', now())",
        *(partition, thread, request, run),
    )
    assert (await threadmill("run", "decide", request)).code == 2
    told = (await threadmill("run", "decide", request, "--reject", "--note", "not today", "--json")).document
    assert (told["done"], told["run"]["id"]) == ("rejected", run)
    assert await service.pool.fetchval("select note from permission_requests where state = 'rejected'") == "not today"
    refused(await threadmill("run", "decide", request, "--allow"), "no open permission request")
    refused(await threadmill("run", "decide", request, "--allow", "--thread", thread), "permission_already_decided")
    entries = (await auditlog.page(service.pool, 10, Wanted())).items
    assert [(e.action, e.target, e.touched) for e in entries if e.action.startswith("permission")] == [
        ("permission.allow", f"permission {request}", 0),
        ("permission.reject", f"permission {request}", 1),
    ]
    assert {e.account for e in entries if e.target.startswith("permission")} == {client.account}


async def test_what_was_done_is_said_in_words(client: Client, threadmill: Threadmill) -> None:
    _, (run,) = await queue(client, "a")
    ended = await threadmill("run", "interrupt", run, "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert f"Run {run} is interrupted." in ended.out
    retried = await threadmill("run", "retry", run)
    assert (retried.code, retried.err) == (0, "")
    assert f"retries {run}." in retried.out
    assert "Waits for a worker" in retried.out


async def test_what_has_no_effect_fails_with_its_warning(client: Client, threadmill: Threadmill) -> None:
    thread, (run,) = await queue(client, "a")
    refused(await threadmill("run", "retry", run), "The run is not finished", "run_not_finished")
    assert (await threadmill("run", "interrupt", run, "--yes")).code == 0
    refused(await threadmill("run", "interrupt", run, "--yes", "--json"), "run_already_finished")
    for verb in ("retry", "interrupt", "show"):
        refused(await threadmill("run", verb, ids.mint()), "There is no run")
        refused(await threadmill("run", verb, run, "--thread", ids.mint()), "There is no run")
    await client.send(thread, *[message(str(n)) for n in range(100)])
    refused(await threadmill("run", "retry", run), "queue_full")


async def test_a_thread_that_is_closed_or_held_says_so(
    service: Service, client: Client, threadmill: Threadmill
) -> None:
    thread, (run,) = await queue(client, "a")
    await service.pool.execute("update threads set held = true where id = $1", thread)
    refused(await threadmill("run", "interrupt", run, "--yes"), "dead letter")
    await service.pool.execute("update threads set held = false where id = $1", thread)
    await client.call("POST", f"/threads/{thread}/archive")
    refused(await threadmill("run", "retry", run), "The thread is archived.")


async def test_an_operator_s_event_is_applied_without_redis(client: Client, threadmill: Threadmill) -> None:
    _, (run,) = await queue(client, "a")
    ended = await threadmill("run", "interrupt", run, "--yes", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert (ended.document["run"]["status"], ended.err) == ("cancelled", "")


async def test_an_event_that_no_worker_applies_in_time_is_accepted_once_and_kept(
    service: Service, client: Client, threadmill: Threadmill, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, (run,) = await queue(client, "a")
    await service.pool.execute("update partitions set paused = true")
    monkeypatch.setattr(api.operator, "WAIT", 0.2)
    ended = await threadmill("run", "interrupt", run, "--yes")
    assert (ended.code, "accepted, and not applied yet" in ended.out) == (0, True)
    refused(await threadmill("run", "interrupt", run, "--yes"), "Nothing is added")
    kept = await service.pool.fetchval("select count(*) from batches where thread = $1 and applied_at is null", thread)
    assert kept == 1


@pytest.mark.slow
async def test_who_does_not_wait_is_told_that_he_interrupted_and_the_log_that_it_was_accepted(
    service: Service, client: Client, environment: dict[str, str]
) -> None:
    _, (run,) = await queue(client, "a")
    await service.pool.execute("update partitions set paused = true")
    async with at_terminal(environment, "run", "interrupt", run, "--yes") as terminal:
        await until(lambda: service.pool.fetchval("select count(*) from batches where token = $1", OPERATOR))
        terminal.interrupt()
        await terminal.until("threadmill: interrupted\n")
        assert await terminal.ended() == 130
    (entry,) = (await auditlog.page(service.pool, 10, Wanted(action="run.interrupt"))).items
    assert entry.result in {Came.LATER, Came.UNSURE}, "by whether its process had heard of the commit"


async def test_a_run_is_shown_in_full(service: Service, client: Client, threadmill: Threadmill) -> None:
    thread, (run, behind) = await queue(client, "the question", "next")
    partition, worker, request = ids.partition_of(ids.Ulid(thread), PARTITIONS), ids.mint(), ids.mint()
    await service.pool.execute(
        "update runs set status = 'waiting_input', started_at = created_at, attempt = 2, checkpoint = '[1]',"
        " usage = '{\"total_tokens\": 7}' where id = $1",
        run,
    )
    await service.pool.execute(
        "insert into permission_requests (partition, thread, id, run, key, title, created_at, expires_at)"
        " values ($1, $2, $3, $4, 'step-1', 'May I?', now(), now() + interval '1 h')",
        *(partition, thread, request, run),
    )
    table = (await threadmill("run", "show", run)).out
    for word in ("the question", "waiting_input", "3 bytes", "total_tokens", "Waits for a decision", request, "step-1"):
        assert word in table
    found = (await threadmill("run", "show", run, "--thread", thread, "--json")).document
    assert (found["id"], found["thread"], found["place"], found["attempt"]) == (run, thread, 0, 2)
    assert [(one["id"], one["key"]) for one in found["requests"]] == [(request, "step-1")]
    await service.pool.execute("delete from permission_requests")
    await service.pool.execute(
        "insert into workers (id, host, pid, roles, version) values ($1, 'h', 7, '', '')", worker
    )
    await service.pool.execute(
        "insert into leases (partition, thread, run, owner, expires_at, deadline)"
        " values ($1, $2, $3, $4, now() + interval '1 min', now() + interval '1 h')",
        *(partition, thread, run, worker),
    )
    table = (await threadmill("run", "show", run)).out
    for word in (f"Executed by worker {worker} (h, pid 7).", "epoch", "expires in 5"):
        assert word in table
    assert worker in (await threadmill("run", "list")).out
    assert "1 of its thread goes before it" in (await threadmill("run", "show", behind)).out


async def test_runs_are_listed_by_status_and_those_that_are_over_by_thread(
    client: Client, threadmill: Threadmill
) -> None:
    thread, (run, cancelled) = await queue(client, "a", "b")
    await threadmill("run", "interrupt", cancelled, "--yes")
    listed = (await threadmill("run", "list", "--status", "queued", "--json")).document["runs"]
    assert [one["id"] for one in listed] == [run]
    over = (await threadmill("run", "list", "--thread", thread, "--status", "cancelled", "--json")).document["runs"]
    assert [one["id"] for one in over] == [cancelled]
    await threadmill("run", "interrupt", run, "--yes")
    asked = ("run", "list", "--thread", thread, "--status", "cancelled", "--limit", "1", "--json")
    first = (await threadmill(*asked)).document
    second = (await threadmill(*asked, "--after", first["after"])).document
    assert [one["id"] for page in (first, second) for one in page["runs"]] == [cancelled, run]
    assert second["after"] is None
    ended = await threadmill("run", "list", "--status", "cancelled")
    assert (ended.code, ended.out) == (2, "")
    assert "--thread" in ended.err
    assert (await threadmill("run", "list", "--status", "what")).code == 2
