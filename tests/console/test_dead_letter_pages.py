"""Dead letters in the console: found by their errors, shown whole, settled one, several or all, and told of it."""

import pytest

from api.console import deadletters
from shared.failures import mark_of
from shared.inspect.actions import dead
from tests.console.browsing import Browsing
from tests.console.letters import left, parked
from tests.console.staff import Staff
from tests.rows import add_owner


async def test_dead_letters_are_settled_one_some_and_all_that_match(staff: Staff, operator: Browsing) -> None:
    pool = staff.service.pool
    owner = await add_owner(pool)
    letters = [await parked(pool, owner, f"ValueError('row {n}')") for n in range(4)]
    other = await parked(pool, owner, "KeyError('x')")
    seen = await operator.open("/console/dead")
    assert "ValueError: row #" in seen.words
    assert mark_of("ValueError: row #") in seen.words  # as the audit log will name them
    seen = await operator.open("/console/dead/list?error=ValueError:%20row%20%23")
    assert (seen.text.count('name="id"'), f"/console/dead/{other}" in seen.text) == (4, False)
    seen = await operator.open(f"/console/dead/{letters[0]}")
    assert "worker/apply.py" in seen.words
    assert "hello" in seen.words
    assert "`" not in seen.words
    assert "<code>threadmill dead" in seen.text
    assert (
        "touches 2 dead letters" in (await operator.open(f"/console/dead/skip?id={letters[0]}&id={letters[1]}")).words
    )
    seen = await operator.confirm(f"/console/dead/discard?id={letters[0]}", {"reason": "sent by a broken client"})
    assert "1 dead letter was discarded." in seen.words
    seen = await operator.confirm(f"/console/dead/replay?id={letters[0]}&id={letters[1]}&id={letters[2]}")
    assert "2 dead letters were replayed." in seen.words
    seen = await operator.confirm("/console/dead/replay?error=ValueError:%20row%20%23&all=yes")
    assert "1 dead letter was replayed." in seen.words
    assert await left(pool) == {other}
    assert (await operator.open(f"/console/dead/replay?id={letters[1]}")).status == 409
    assert "no dead letter any more" in (await operator.open(f"/console/dead/{letters[1]}")).words
    kinds = await pool.fetch("select action, touched, result from audit where action like 'dead.%' order by id")
    assert [tuple(row) for row in kinds] == [
        ("dead.discard", 1, "done"),
        ("dead.replay", 2, "done"),
        ("dead.replay", 1, "done"),
    ]


async def test_what_is_settled_between_the_question_and_the_answer_is_told(staff: Staff, operator: Browsing) -> None:
    pool = staff.service.pool
    letter = await parked(pool, await add_owner(pool), "KeyError('x')")
    question = await operator.open(f"/console/dead/replay?id={letter}")
    assert "replayed" in (await operator.confirm(f"/console/dead/replay?id={letter}")).words
    answer = await operator.submit(question, question.form())
    assert "Nothing was replayed" in (await operator.open(answer.location)).words
    again = await operator.submit(question, question.form())
    assert "not done twice" in (await operator.open(again.location)).words


@pytest.mark.parametrize("way", ["replay", "discard", "skip"])
async def test_what_dies_while_the_question_stands_open_is_left(staff: Staff, operator: Browsing, way: str) -> None:
    pool = staff.service.pool
    owner = await add_owner(pool)
    for _ in range(2):
        await parked(pool, owner, "KeyError('x')")
    question = await operator.open(f"/console/dead/{way}?error=KeyError&all=yes")
    assert "touches 2 dead letters" in question.words
    late = {await parked(pool, owner, "KeyError('x')") for _ in range(3)}
    answer = await operator.submit(question, question.form(), {"reason": "they are two"})
    assert "2 dead letters were" in (await operator.open(answer.location)).words
    untouched = "select id from batches where parked_at is not null and applied_at is null and passed_at is null"
    assert {row["id"] for row in await pool.fetch(untouched)} == late


async def test_when_it_was_asked_is_not_the_browsers_to_say(staff: Staff, operator: Browsing) -> None:
    pool = staff.service.pool
    owner = await add_owner(pool)
    await parked(pool, owner, "KeyError('x')")
    place = "/console/dead/replay?all=yes"
    question, other = await operator.open(place), await operator.open(f"{place}&error=KeyError")
    for change in ({"asked": "2999-01-01T00:00:00+00:00"}, {"asked_proof": ""}, other.form().fields):
        seen = await operator.submit(question, question.form(), dict(change))
        assert (seen.status, "of another question" in seen.words) == (400, True), change
    assert len(await left(pool)) == 1


async def test_very_many_are_settled_in_several_goes(
    staff: Staff, operator: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await add_owner(staff.service.pool)
    await staff.service.pool.execute(
        "insert into batches (partition, id, ref, thread, account, token, events, attempts, blocked, parked_at,"
        " error_kind) select 1, nextval('batch_ids'), gen_random_uuid(), gen_random_uuid(), $1, $2, '[]', 5, true,"
        " now() - interval '1 hour', 'many' from generate_series(1, 130) n",
        *(owner.account, owner.token),
    )
    monkeypatch.setattr(deadletters, "LONGEST", 0.0)
    seen = await operator.confirm("/console/dead/replay?error=many&all=yes")
    assert (seen.status, "100 dead letters were replayed. There are more" in seen.words) == (200, True)
    entry = await staff.service.pool.fetchrow("select touched, result from audit")
    assert (entry["touched"], entry["result"].startswith("failed: It was ended after its time")) == (100, True)
    monkeypatch.undo()
    assert "30 dead letters were replayed." in (await operator.confirm("/console/dead/replay?error=many&all=yes")).words


async def test_each_go_at_skipping_all_counts_and_reaches_what_the_last_one_left(
    staff: Staff, operator: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = staff.service.pool
    owner = await add_owner(pool)
    for _ in range(3):
        await parked(pool, owner, "KeyError('x')")
    monkeypatch.setattr(dead, "PAGE", 1)
    monkeypatch.setattr(deadletters, "LONGEST", 0.0)
    for left_to_skip in (3, 2, 1):
        assert f"Skip all {left_to_skip}" in (await operator.open("/console/dead/list")).words
        assert (
            "1 dead letters were skipped. There are more"
            in (await operator.confirm("/console/dead/skip?all=yes")).words
        )
    assert len(await left(pool)) == 3
    seen = await operator.open("/console/dead/list")
    assert ("Replay all 3" in seen.words, "Skip all" in seen.words) == (True, False)
    assert (await operator.open("/console/dead/skip?all=yes")).status == 409


async def test_a_form_without_a_tick_means_none(operator: Browsing) -> None:
    refused = {
        "": 400,
        "?id=x": 400,
        "?id=99999999": 409,
        "?all=yes": 409,
        f"?{'&'.join(['id=7'] * 301)}": 400,
        f"?{'&'.join([f'id={10**17}'] * 300)}": 409,
        "?thread=nothing": 400,
        "?account=x&all=yes": 404,
    }
    for query, status in refused.items():
        assert (await operator.open(f"/console/dead/replay{query}")).status == status, query


async def test_a_viewer_looks_and_does_not_act(staff: Staff, viewer: Browsing, operator: Browsing) -> None:
    letter = await parked(staff.service.pool, await add_owner(staff.service.pool), "KeyError('x')")
    seen = await viewer.open(f"/console/dead/{letter}")
    assert (seen.status, f'href="/console/dead/replay?id={letter}"' in seen.text) == (200, False)
    assert (await viewer.open(f"/console/dead/replay?id={letter}")).status == 403
    question = await operator.open(f"/console/dead/replay?id={letter}")
    assert (await viewer.submit(question, question.form())).status == 403
    assert await left(staff.service.pool) == {letter}


@pytest.mark.parametrize("text", ["%00", "x" * 7_000], ids=["nul", "long"])
async def test_a_parameter_that_nothing_can_be_called_is_refused_by_its_name(
    staff: Staff, operator: Browsing, text: str
) -> None:
    for path, name in (
        *((f"/console/audit?{name}={text}", name) for name in ("target", "actor", "action")),
        (f"/console/dead?after={text}", "after"),
        (f"/console/dead/list?error={text}", "error"),
        *((f"/console/dead/{way}?all=yes&error={text}", "error") for way in ("replay", "discard", "skip")),
        (f"/console/threads/{text}", "id"),
    ):
        seen = await operator.open(path)
        assert (seen.status, f"`{name}`" in seen.words) == (400, True), (path[:40], seen.words)
    question = await operator.open("/console/queue/pause")
    answer = await operator.call("POST", f"/console/dead/replay?all=yes&error={text}", question.form().fields)
    assert answer.status == 400
