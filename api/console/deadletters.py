"""Dead letters: by their errors, one by one, and what is done to those that were chosen, or to all that match."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from api.console.pages import Deed, Done, Field, Form, Look, Page, Question, Values
from shared import accounts
from shared.audit import Actor
from shared.errors import Conflict, InvalidRequest, ThreadmillError
from shared.ids import BatchId
from shared.inspect import batches, deadletters
from shared.inspect.actions import dead
from shared.inspect.actions.dead import Reached, Told
from shared.inspect.batches import BatchState
from shared.inspect.counts import Count
from shared.inspect.deadletters import Selection
from shared.inspect.threads import own_row

HERE = "/console/dead"
LIST = f"{HERE}/list"
SHOWN = 50  # rows of a page
LONGEST = 15.0  # seconds of one deed: some thousand letters; the console itself gives one up after 30
MOST_CHOSEN = 300  # named one by one: a page has 50 boxes, and an address of 8,190 bytes holds no more of the longest
_LONGEST_ID = 18  # digits: within a bigint


async def load_groups(look: Look) -> Values:
    groups = await deadletters.groups(look.db, SHOWN, look.after)
    return {
        "groups": sorted(groups, key=lambda group: (-group.letters.value, group.error)),
        "total": await deadletters.count(look.db, Selection()),
        "after": groups[-1].error if len(groups) == SHOWN else None,
        "first": look.after is None,
        "unsorted": deadletters.UNSORTED,
    }


async def load_list(look: Look) -> Values:
    selection = await _selection(look, everything=True)
    page = await deadletters.page(look.db, selection, SHOWN, look.after)
    total, holding = await deadletters.counts(look.db, selection)
    return {
        "listed": page,
        "letters": page.items,
        "total": total,
        "holding": holding,
        "selection": selection,
        "query": urlencode({**_named(look), "all": "yes"}),
        "title": selection.error or "Dead letters",
    }


async def load_one(look: Look) -> Values:
    letter = await batches.find_batch(look.db, look.params["id"])
    return {
        "title": f"Batch {letter.id}",
        "letter": letter,
        "parked": letter.state is BatchState.PARKED,
        "behind": await deadletters.held_up(look.db, letter.partition, letter.thread),
    }


GROUPS = Page("dead", "Dead letters", load_groups)
LETTERS = Page("letters", "Dead letters", load_list)
LETTER = Page("letter", "Dead letter", load_one, live=False)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to settle dead letters, in the words of its page."""

    button: str
    does: tuple[str, ...]
    done: str
    settle: Callable[[Look, Form, Actor, Selection, Told], Awaitable[Reached]]
    fields: tuple[Field, ...] = ()
    danger: bool = False
    holding: bool = False  # those that were skipped before are left as they are


class OutOfTime(ThreadmillError):
    """It was ended after its time: what it reached is done, the rest is as it was."""


@dataclass(slots=True)
class _Watch:
    """Ends a deed of very many before the browser gives up, and knows how far it came."""

    begun: float = field(default_factory=time.monotonic)
    done: int = 0

    def tell(self, done: int) -> None:
        self.done = done
        if time.monotonic() - self.begun > LONGEST:
            raise OutOfTime


async def _replay(look: Look, _: Form, actor: Actor, selection: Selection, tell: Told) -> Reached:
    return await dead.replay(look.db, actor, selection, tell)


async def _discard(look: Look, form: Form, actor: Actor, selection: Selection, tell: Told) -> Reached:
    return await dead.discard(look.db, actor, selection, form.get("reason", ""), tell)


async def _skip(look: Look, _: Form, actor: Actor, selection: Selection, tell: Told) -> Reached:
    return await dead.skip(look.db, actor, selection, tell)


REPLAY = Way(
    "Replay",
    (
        "Each is tried again from its first attempt, and what waits behind it goes on once it is applied.",
        "Mend what the error names first: what fails again is parked again.",
    ),
    "replayed",
    _replay,
)
DISCARD = Way(
    "Discard",
    (
        "They never take effect. Their senders read the warning batch_discarded with your reason.",
        "Their threads go on. This can't be taken back.",
    ),
    "discarded",
    _discard,
    (Field("reason", "Reason", hint="One line. The sender of the batch reads it.", required=True),),
    danger=True,
)
SKIP = Way(
    "Skip",
    (
        "Their threads go on without them, out of order. The letters stay here, and can be replayed later.",
        "What they say is missing until then. Those that were skipped before stay as they are.",
    ),
    "skipped",
    _skip,
    danger=True,
    holding=True,
)


def deed(way: Way) -> Deed:
    """Asks for, and does, what a way does to those that the query names."""

    async def ask(look: Look) -> Question:
        selection = await _selection(look)
        count = await deadletters.count(look.db, selection, holding=way.holding)
        if not count.some:
            before = ", or skipped before" if way.holding else ""
            raise Conflict(f"None of these can be {way.done}: they were settled meanwhile{before}.")
        says = (*_of(selection), *way.does)
        what = _several(count)
        return Question(f"{way.button} {what}?", says, way.button, _back(look), what, way.fields, way.danger)

    async def do(look: Look, form: Form, actor: Actor) -> Done:
        selection, watch = await _selection(look), _Watch()
        try:
            reached = await way.settle(look, form, actor, selection, watch.tell)
        except OutOfTime:
            return Done(
                f"{watch.done:,} dead letters were {way.done}. There are more: do it again to go on.", _back(look)
            )
        if not reached.done:
            return Done(f"Nothing was {way.done}: somebody settled them meanwhile, or skipped them before.", HERE)
        were = "s were" if reached.done != 1 else " was"
        return Done(f"{reached.done:,} dead letter{were} {way.done}. {reached.rest}".strip(), HERE)

    return Deed(ask, do)


def _several(count: Count) -> str:
    return f"{count} dead letter{'' if str(count) == '1' else 's'}"


def _of(selection: Selection) -> tuple[str, ...]:
    """What was selected, in words."""
    if selection.ids is not None:
        numbers = [str(id_) for id_ in selection.ids[:10]]
        return (f"Batch{'es' if len(selection.ids) != 1 else ''} {', '.join(numbers)}{_rest(selection.ids)}.",)
    if selection.error is not None:
        return (f"All with the error: {selection.error}",)
    return ("All that match, also those on other pages.",)


def _rest(ids: tuple[BatchId, ...]) -> str:
    return f" and {len(ids) - 10} more" if len(ids) > 10 else ""


def _back(look: Look) -> str:
    named = _named(look)
    ids = look.all("id")
    if len(ids) == 1:
        return f"{HERE}/{ids[0]}"
    return f"{LIST}?{urlencode(named)}" if named else HERE


def _named(look: Look) -> dict[str, str]:
    return {name: look.text(name) for name in ("error", "account", "thread") if look.text(name)}


async def _selection(look: Look, *, everything: bool = False) -> Selection:
    """What the query names: letters by their ids, else all that match. Nothing named is nothing, unless it says `all`:
    a form without a tick must not mean every one. Asked, and done: those that were there when it was asked."""
    ids = tuple(_id(text) for text in look.all("id"))
    named = _named(look)
    if len(ids) > MOST_CHOSEN:
        raise InvalidRequest(f"`id` names {len(ids):,} dead letters: {MOST_CHOSEN} at most.", param="id")
    if ids:
        return Selection(ids=ids, parked_before=look.asked)
    if not everything and look.text("all") != "yes":
        raise InvalidRequest("Choose the dead letters first, or take all that match.", param="id")
    account = (await accounts.find_account(look.db, named["account"])).id if "account" in named else None
    thread = (await own_row(look.db, named["thread"])).id if "thread" in named else None
    return Selection(error=named.get("error"), account=account, thread=thread, parked_before=look.asked)


def _id(text: str) -> BatchId:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID):
        raise InvalidRequest("`id` is the number of a batch.", param="id")
    return BatchId(int(text))
