"""Decisions on permission requests, from the inbox through to the tables."""

from shared import ids
from shared.events import PermissionDecision
from shared.ids import RequestId
from shared.models import BusyPolicy
from shared.reports import Ask
from tests.driver import Driver, codes
from tests.pipeline import message

INTERRUPT = BusyPolicy.INTERRUPT


async def test_a_decision_claims_the_request_and_a_second_one_finds_it_decided(driver: Driver) -> None:
    thread, run, (request,) = await driver.asking()
    outcome = await driver.send(
        thread, PermissionDecision(request, allow=True, note="go on"), PermissionDecision(request, allow=False)
    )
    assert codes(outcome) == ["permission_already_decided"]
    assert [result["run"]["id"] for result in outcome["events"]] == [run, run]
    row = (await driver.requests(thread))[request]
    assert (row["state"], row["note"]) == ("allowed", "go on")
    assert row["decided_at"] is not None


async def test_decisions_about_nothing_warn_and_change_nothing(driver: Driver) -> None:
    thread, _, (request,) = await driver.asking()
    _, _, (stranger,) = await driver.asking()
    outcome = await driver.send(
        thread,
        *[PermissionDecision(name, allow=True) for name in (stranger, ids.mint(), "tool-7", "\u2603" * 255)],
        PermissionDecision(request.lower(), allow=False),
    )
    assert codes(outcome) == ["permission_not_found"] * 4
    assert (await driver.requests(thread))[request]["state"] == "rejected"


async def test_a_decision_accepted_after_the_requests_time_is_too_late(driver: Driver) -> None:
    now = await driver.pool.fetchval("select clock_timestamp()")
    thread, _, (request,) = await driver.asking(Ask(RequestId(ids.mint()), "May I?", expires_at=now))
    outcome = await driver.send(thread, PermissionDecision(request, allow=True))
    assert codes(outcome) == ["permission_expired"]
    assert (await driver.requests(thread))[request]["state"] == "pending"


async def test_a_run_that_ends_supersedes_its_open_requests(driver: Driver) -> None:
    thread, _, (request,) = await driver.asking()
    outcome = await driver.send(thread, message("never mind", on_busy=INTERRUPT))
    assert codes(outcome) == ["permission_superseded"]
    assert (await driver.requests(thread))[request]["state"] == "superseded"
