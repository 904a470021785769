"""Whether all came to rest in its time is said as it was then: what comes later may bring it on its way."""

import time
from math import inf

import pytest

from tests.faults import quiet
from tests.faults.injector import Hit
from tests.faults.processes import Stack
from tests.faults.quiet import quiet_of
from tests.faults.scene import ASYNC, scene
from tests.faults.schedule import Fault
from tests.faults.violations import Kind


async def test_what_is_applied_only_later_was_stuck_and_has_no_recovery_before(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "QUIET", 1.0)
    stack.api()
    hit = Hit(Fault(1, 0.0, "kill worker", "worker-0", 0.0, 0.0), time.time(), time.time())
    async with scene(stack) as s, quiet_of(stack) as settling:
        assert (await s.sender().send(s.request(), prefer=ASYNC)).status == 200
        latest = await settling.now()
        assert await settling.settle() == 1.0
        assert await settling.recoveries([hit], latest) == {1: inf}
        stack.worker()
        await s.settled(*s.history)
        assert {violation.kind for violation in settling.violations} == {Kind.STUCK}
        assert await settling.settle() < 1.0
        (seconds,) = (await settling.recoveries([hit], latest)).values()
        assert seconds < 60
        assert (await s.sender().send(s.request(), prefer=ASYNC)).status == 200
        assert await settling.recoveries([hit], latest) == {1: seconds}, "what was accepted later says nothing of it"
