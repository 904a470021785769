"""Messages to webhooks in the console, without a browser: what is told again is what the operator was asked about."""

import pytest

from tests.console.browsing import Browsing
from tests.console.furnished import furnish
from tests.console.staff import Staff


@pytest.mark.parametrize("whose", ["all", "agent"])
async def test_a_message_that_is_given_up_while_the_question_stands_open_is_left(
    staff: Staff, operator: Browsing, whose: str
) -> None:
    pool = staff.service.pool
    agent = (await furnish(pool)).agent.id
    question = await operator.open(f"/console/webhooks/replay{f'?agent={agent}' if whose == 'agent' else ''}")
    assert "touches 3 messages" in question.words
    late = await pool.fetchval("update outbox set parked_at = clock_timestamp() where parked_at is null returning id")
    answer = await operator.submit(question, question.form())
    assert "3 messages are told again." in (await operator.open(answer.location)).words
    assert [row["id"] for row in await pool.fetch("select id from outbox where parked_at is not null")] == [late]
