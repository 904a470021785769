"""Runs that are queued, over HTTP: withdrawn by an interrupt that names them."""

from tests.contract.queueing import queue
from tests.service import Client


async def test_a_queued_run_is_withdrawn_by_its_id_and_those_behind_it_move_up(client: Client) -> None:
    thread, (current, withdrawn, behind) = await queue(client, "a", "b", "c")
    reply = await client.send(thread, {"type": "user_interrupt", "runId": withdrawn})
    result = reply.json["events"][0]["run"]
    assert (result["id"], result["status"], reply.json["warnings"]) == (withdrawn, "cancelled", [])
    assert result["startedAt"] == result["completedAt"]
    assert reply.json["thread"]["status"] == "RUNNING"
    runs = (await client.call("GET", f"/threads/{thread}/runs")).json["runs"]
    assert {run["id"]: run["queuePosition"] for run in runs} == {current: 0, withdrawn: None, behind: 1}
    log = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    assert [entry["content"] for entry in log if entry["type"] == "run.completed"] == [withdrawn]
    again = await client.send(thread, {"type": "user_interrupt", "runId": withdrawn})
    assert [warning["code"] for warning in again.json["warnings"]] == ["run_already_finished"]


async def test_the_last_queued_run_that_is_withdrawn_leaves_the_thread_idle(client: Client) -> None:
    thread, (current, waits) = await queue(client, "a", "b")
    for run, status in ((waits, "RUNNING"), (current, "IDLE")):
        reply = await client.send(thread, {"type": "user_interrupt", "runId": run})
        assert (reply.json["thread"]["status"], reply.json["thread"]["last_run_id"]) == (status, waits)
