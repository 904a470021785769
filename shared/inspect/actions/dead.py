"""Settling dead letters, as many as a selection has: page by page, each letter in a transaction of its own.

However many there are, this takes the memory of a page; interrupted, it has done what the audit log says that it
reached. Letters that somebody else settled meanwhile are passed over and not counted; so are those that died after the
operator was told how many there are, and after it began, or what fails again at once would be replayed for ever.
Those of a partition that something has in hand for long are left, and told. Refused here: undoing anything.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from shared import audit, deadletters, holds
from shared.audit import Actor
from shared.db.connect import Database
from shared.db.statements import statements
from shared.deadletters import Decision, Fate, Letter
from shared.errors import Conflict, ServiceInactive, ThreadmillError
from shared.failures import mark_of
from shared.ids import AccountId
from shared.inspect.clock import moment
from shared.inspect.deadletters import Selection, places

SQL = statements("actions")

PAGE = 100  # letters looked up at once; what they hold is not read

PATIENCE_MS = 1_000  # for a partition; a drain has one in hand for milliseconds, and there may be 64 of them

Told = Callable[[int], None]  # how many were settled so far


@dataclass(frozen=True, slots=True)
class Reached:
    """What came of it. `left`: how many were left in partitions that something has in hand for long."""

    done: int = 0
    left: Counter[int] = field(default_factory=Counter)

    @property
    def rest(self) -> str:
        """What was left, in words; empty where nothing was."""
        if not self.left:
            return ""
        number, places = self.left.total(), ", ".join(map(str, sorted(self.left)))
        stand = f"{number:,} {'stands' if number == 1 else 'stand'}"
        if len(self.left) == 1:
            return f"{stand} in partition {places}, which is in hand for long: try again."
        return f"{stand} in the partitions {places}, which are in hand for long: try again."


async def replay(db: Database, actor: Actor, selection: Selection, tell: Told | None = None) -> Reached:
    """Lets them wait again, from their first attempt; their threads go on with them. One whose thread went on without
    it (`skip`) is applied late, behind what came after it. Raises NotFound, ServiceInactive where all are in hand.
    """
    return await _settle(db, actor, selection, Decision(Fate.REPLAY), tell)


async def discard(db: Database, actor: Actor, selection: Selection, reason: str, tell: Told | None = None) -> Reached:
    """Gives them up for good: they never take effect, their senders read the reason, their threads go on.

    Raises InvalidRequest, NotFound, ServiceInactive where all are in hand.
    """
    return await _settle(db, actor, selection, Decision(Fate.DISCARD, holds.checked(reason)), tell)


async def skip(db: Database, actor: Actor, selection: Selection, tell: Told | None = None) -> Reached:
    """Lets their threads go on without them. They stay dead letters, and what they say is missing until they are
    replayed: then it comes late. Counts those that held their threads; raises NotFound, ServiceInactive where
    all are in hand.
    """
    return await _settle(db, actor, selection, Decision(Fate.SKIP), tell)


async def _settle(db: Database, actor: Actor, selection: Selection, decision: Decision, tell: Told | None) -> Reached:
    account, reason = await _account(db, selection), decision.reason or None
    async with audit.entry(
        db, actor, f"dead.{decision.fate}", _named(selection), account=account, reason=reason
    ) as entry:
        await audit.reached(db, entry, 0)
        reached = await _settle_all(db, selection, replace(decision, entry=entry), tell)
        entry.touched = reached.done
        if not reached.done and reached.left:
            raise ServiceInactive(f"Nothing was done: {reached.rest}", retry_after=1)
        entry.result = f"{audit.DONE}, but {reached.rest}" if reached.left else audit.DONE
    return reached


async def _settle_all(db: Database, selection: Selection, decision: Decision, tell: Told | None) -> Reached:
    reached = Reached()
    try:
        async for page in _pages(db, selection, holding=decision.fate is Fate.SKIP):
            for letter in page:
                waited = len(reached.left)
                reached = await _settle_one(db, letter, decision, reached)
                if tell is not None and len(reached.left) > waited:
                    tell(reached.done)
            if page and tell is not None:
                tell(reached.done)
    except ThreadmillError as error:
        if reached.done:
            error.message = f"{error.message} {reached.done:,} were settled before that."
        raise
    return reached


async def _settle_one(db: Database, letter: Letter, decision: Decision, reached: Reached) -> Reached:
    """One wait for each partition: what else stands in one that is in hand is left without."""
    if letter.partition not in reached.left:
        try:
            await deadletters.settle(db, letter, decision, PATIENCE_MS)
            return replace(reached, done=reached.done + 1)
        except Conflict:
            return reached
        except ServiceInactive:
            pass
    return replace(reached, left=reached.left + Counter([letter.partition]))


async def _pages(db: Database, selection: Selection, *, holding: bool) -> AsyncIterator[Sequence[Letter]]:
    """The letters, the longest parked first; none that died since this began, nor behind what the selection says. Where
    `holding`, none that was skipped: those stay in the list, and each further go at very many would begin with them."""
    began = await moment(db)
    selection = replace(selection, parked_before=min(selection.parked_before or began, began))
    after: str | None = None
    while True:
        page = await places(db, selection, PAGE, after)
        columns = [place.partition for place in page.items], [place.id for place in page.items]
        rows = await db.fetch(SQL["threads_of"], *columns, holding)
        yield [Letter(*row) for row in rows]
        if page.after is None:
            return
        after = page.after


async def _account(db: Database, selection: Selection) -> AccountId | None:
    """Whose letters they are, where they are one account's by what was selected."""
    if selection.account is not None:
        return selection.account
    if selection.thread is None and len(selection.ids or ()) != 1:
        return None
    found = (await places(db, selection, 1, None)).items
    return await db.fetchval(SQL["account_of"], found[0].partition, found[0].id) if found else None


def _named(selection: Selection) -> str:
    """What is selected, for the log: of an error its mark, which quotes nobody."""
    if selection.ids is not None and len(selection.ids) == 1:
        return f"batch {selection.ids[0]}"
    error = None if selection.error is None else mark_of(selection.error)
    named = {"thread": selection.thread, "account": selection.account, "error": error}
    given = [f"{name} {value}" for name, value in named.items() if value is not None]
    several = [] if selection.ids is None else [f"{len(selection.ids)} batches"]
    return f"dead letters: {', '.join([*several, *given]) or 'all'}"
