"""Dead letters in a browser: looked at, and settled by each of their buttons."""

import pytest

from tests.console.hostile import HOSTILE, harmless
from tests.console.letters import left, parked
from tests.console.screen import Screen
from tests.console.staff import Staff
from tests.rows import add_owner

pytestmark = pytest.mark.browser


async def confirm(screen: Screen, word: str, count: str) -> None:
    """Says yes to so many, and is told that it is done."""
    page = screen.page
    await page.get_by_text(f"This touches {count}.").wait_for()
    if word == "Discard":
        await page.get_by_label("Reason").fill("a broken client")
    await page.get_by_role("button", name=word).click()
    done = {"Replay": "replayed", "Discard": "discarded", "Skip": "skipped"}[word]
    await (
        page.get_by_role("status")
        .get_by_text(f"{count} {'was' if count.startswith('1 ') else 'were'} {done}.")
        .wait_for()
    )


async def test_dead_letters_in_a_browser(screen: Screen, staff: Staff) -> None:
    pool = staff.service.pool
    owner = await add_owner(pool, "acme <i>&</i>")
    letters = [await parked(pool, owner, repr(ValueError(f"{HOSTILE} row {n}")), HOSTILE) for n in range(3)]
    await parked(pool, owner, "KeyError('x')")
    await screen.open("/console/dead")
    await screen.page.get_by_role("link", name="KeyError", exact=True).wait_for()
    await screen.presentable("dead")
    await screen.page.get_by_role("link", name="ValueError: ").first.click()
    await screen.page.get_by_label(f"Select batch {letters[0]}").check()
    await screen.page.get_by_label(f"Select batch {letters[2]}").check()
    await screen.presentable("letters")
    await screen.page.get_by_role("button", name="Replay selected").click()
    await screen.page.get_by_text("2 dead letters", exact=True).wait_for()
    await screen.presentable("letters-question")
    await screen.page.get_by_role("button", name="Replay").click()
    await screen.page.get_by_text("2 dead letters were replayed.").wait_for()
    await screen.open(f"/console/dead/{letters[1]}")
    await screen.presentable("letter")
    await harmless(screen)
    await screen.page.get_by_role("link", name="Discard", exact=True).click()
    await screen.page.get_by_label("Reason").fill("sent by a broken client")
    await screen.page.get_by_role("button", name="Discard").click()
    await screen.page.get_by_text("1 dead letter was discarded.").wait_for()


async def test_every_way_to_settle_dead_letters_is_pressed(screen: Screen, staff: Staff) -> None:
    pool, page = staff.service.pool, screen.page
    owner = await add_owner(pool)
    letters = [await parked(pool, owner, "KeyError('x')") for _ in range(5)]
    for _ in range(3):
        await parked(pool, owner, "ValueError('y')")
    for word, letter in zip(("Replay", "Skip"), letters, strict=False):
        await screen.open(f"/console/dead/{letter}")
        await page.get_by_role("link", name=word, exact=True).click()
        await confirm(screen, word, "1 dead letter")
    await screen.open("/console/dead/list?error=KeyError")
    for letter in letters[2:4]:
        await page.get_by_label(f"Select batch {letter}").check()
    await page.get_by_role("button", name="Discard selected").click()
    await confirm(screen, "Discard", "2 dead letters")
    for word, error, count in (("Replay", "KeyError", 2), ("Discard", "ValueError: y", 3)):
        await screen.open(f"/console/dead/list?error={error}")
        await page.get_by_role("link", name=f"{word} all {count}").click()
        await confirm(screen, word, f"{count} dead letters")
    assert await left(pool) == set()


@pytest.mark.slow
async def test_letters_of_a_list_are_skipped_and_the_thread_of_one_is_held_again(screen: Screen, staff: Staff) -> None:
    pool, page = staff.service.pool, screen.page
    owner = await add_owner(pool)
    letters = [await parked(pool, owner, "KeyError('x')") for _ in range(4)]
    await screen.open("/console/dead/list")
    for letter in letters[:2]:
        await page.get_by_label(f"Select batch {letter}").check()
    await page.get_by_role("button", name="Skip selected").click()
    await confirm(screen, "Skip", "2 dead letters")
    await screen.open("/console/dead/list")
    await page.get_by_role("link", name="Skip all 2").click()
    await confirm(screen, "Skip", "2 dead letters")
    assert await left(pool) == set(letters)
    await screen.open("/console/dead/list")
    await page.get_by_role("link", name="Replay all 4").wait_for()
    await page.get_by_role("link", name="Skip all").wait_for(state="hidden")  # who watches sees it within a second
    await page.get_by_role("link", name=str(letters[0]), exact=True).click()
    await page.get_by_role("link", name="Hold its thread").click()
    await page.get_by_label("Reason").fill("until it is replayed")
    await page.get_by_role("button", name="Hold").click()
    await page.get_by_role("status").get_by_text("The thread is held.").wait_for()
    await page.get_by_text("until it is replayed").wait_for()
    held = (
        "select t.held, b.id = $1 as its from batches b join threads t on (t.partition, t.id) = (b.partition, b.thread)"
    )
    assert {row["its"]: row["held"] for row in await pool.fetch(held, letters[0])} == {True: True, False: False}


async def test_all_of_an_error_and_all_there_are_are_settled_by_one_press(screen: Screen, staff: Staff) -> None:
    pool, page = staff.service.pool, screen.page
    owner = await add_owner(pool)
    for error, count in (("KeyError('x')", 2), ("ValueError('y')", 3), ("OSError('z')", 1), ("TypeError('z')", 1)):
        for _ in range(count):
            await parked(pool, owner, error)
    for word, error, count in (("Replay", "KeyError", 2), ("Discard", "ValueError: y", 3)):
        await screen.open("/console/dead")
        await page.get_by_role("link", name=f"{word} all with the error {error}").click()
        await page.get_by_text(f"All with the error: {error}").wait_for()
        await confirm(screen, word, f"{count} dead letters")
    await page.get_by_role("link", name="All dead letters").click()
    await page.get_by_role("link", name="Replay all 2").click()
    await page.get_by_text("All that match, also those on other pages.").wait_for()
    await confirm(screen, "Replay", "2 dead letters")
    assert await left(pool) == set()
    applied = await pool.fetch("select applied_at is not null as discarded, count(*) from batches group by 1")
    assert {row["discarded"]: row["count"] for row in applied} == {True: 3, False: 4}
