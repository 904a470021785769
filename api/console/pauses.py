"""Pausing and resuming: a partition, an account, the whole queue. Each asks first, and says how much waits in it."""

from collections.abc import Sequence

from api.console.pages import Deed, Done, Form, Look, Question
from api.console.queue import ACCOUNTS_PAGE, QUEUE_PAGE, account_of
from shared.audit import Actor
from shared.errors import NotFound
from shared.inspect.actions import queue as actions
from shared.inspect.counts import Count
from shared.inspect.partitions import Partition, read_partitions, work_of


def _total(found: Sequence[Partition]) -> Count:
    return sum((one.waiting + one.held for one in found), Count(0))


def _batches(count: Count) -> str:
    return f"{count} waiting batch{'' if str(count) == '1' else 'es'}"


async def _partition(look: Look) -> Partition:
    number = look.whole("partition", most=(1 << 15) - 1)
    found = {one.id: one for one in await read_partitions(look.db)}
    if number not in found:
        raise NotFound(f"There is no partition {look.text('partition')}.")
    return found[number]


async def ask_pause(look: Look) -> Question:
    one = await _partition(look)
    return Question(
        f"Pause partition {one.id}?",
        (
            "Nothing of it is applied until it is resumed: what is sent to its threads is accepted and waits.",
            "Runs that execute go on. A drain that is under way ends.",
            *(("It is paused already.",) if one.paused else ()),
        ),
        button="Pause",
        back=QUEUE_PAGE,
        touches=f"partition {one.id} with {_batches(one.waiting + one.held)}",
    )


async def ask_resume(look: Look) -> Question:
    one = await _partition(look)
    return Question(
        f"Resume partition {one.id}?",
        ("Workers find what waits in it within half a second.",),
        button="Resume",
        back=QUEUE_PAGE,
        touches=f"partition {one.id} with {_batches(one.waiting + one.held)}",
        danger=False,
    )


async def ask_pause_all(look: Look) -> Question:
    found = await read_partitions(look.db)
    return Question(
        "Pause the whole queue?",
        (
            "Nothing is applied until it is resumed: what is sent is accepted, and its answers come late.",
            "Runs that execute go on.",
        ),
        button="Pause all",
        back=QUEUE_PAGE,
        touches=f"all {len(found)} partitions with {_batches(_total(found))}",
    )


async def ask_resume_all(look: Look) -> Question:
    found = [one for one in await read_partitions(look.db) if one.paused]
    return Question(
        "Resume all partitions?",
        ("Workers find what waits in them within half a second. Accounts that are paused stay so.",),
        button="Resume all",
        back=QUEUE_PAGE,
        touches=f"{len(found)} paused partition{'' if len(found) == 1 else 's'} with {_batches(_total(found))}",
        danger=False,
    )


async def ask_pause_account(look: Look) -> Question:
    one = await work_of(look.db, account_of(look))
    return Question(
        f"Pause the account {one.name}?",
        (
            "Nothing that it sends is applied until it is resumed; what it sends is accepted and waits.",
            "Runs that execute go on.",
            *(("It is paused already.",) if one.paused else ()),
        ),
        button="Pause",
        back=ACCOUNTS_PAGE,
        touches=f"the account {one.name} with {_batches(one.waiting)}",
    )


async def ask_resume_account(look: Look) -> Question:
    one = await work_of(look.db, account_of(look))
    return Question(
        f"Resume the account {one.name}?",
        ("Workers find what waits of it within half a second.",),
        button="Resume",
        back=ACCOUNTS_PAGE,
        touches=f"the account {one.name} with {_batches(one.waiting)}",
        danger=False,
    )


async def pause(look: Look, form: Form, actor: Actor) -> Done:
    one = await _partition(look)
    changed = await actions.pause_partitions(look.db, actor, [one.id])
    said = f"Partition {one.id} is paused." if changed else f"Partition {one.id} was paused already."
    return Done(said, QUEUE_PAGE)


async def resume(look: Look, form: Form, actor: Actor) -> Done:
    one = await _partition(look)
    changed = await actions.resume_partitions(look.db, actor, [one.id])
    said = f"Partition {one.id} is resumed." if changed else f"Partition {one.id} was not paused."
    return Done(said, QUEUE_PAGE)


async def pause_all(look: Look, form: Form, actor: Actor) -> Done:
    changed = await actions.pause_partitions(look.db, actor, None)
    return Done(f"The queue is paused: {changed} partitions that were not so before.", QUEUE_PAGE)


async def resume_all(look: Look, form: Form, actor: Actor) -> Done:
    changed = await actions.resume_partitions(look.db, actor, None)
    return Done(f"The queue is resumed: {changed} partitions were paused.", QUEUE_PAGE)


async def pause_account(look: Look, form: Form, actor: Actor) -> Done:
    one = await work_of(look.db, account_of(look))
    changed = await actions.pause_account(look.db, actor, one.id)
    return Done(f"The account {one.name} {'is paused' if changed else 'was paused already'}.", ACCOUNTS_PAGE)


async def resume_account(look: Look, form: Form, actor: Actor) -> Done:
    one = await work_of(look.db, account_of(look))
    changed = await actions.resume_account(look.db, actor, one.id)
    return Done(f"The account {one.name} {'is resumed' if changed else 'was not paused'}.", ACCOUNTS_PAGE)


DEEDS: dict[str, Deed] = {
    f"{QUEUE_PAGE}/partitions/{{partition}}/pause": Deed(ask_pause, pause),
    f"{QUEUE_PAGE}/partitions/{{partition}}/resume": Deed(ask_resume, resume),
    f"{QUEUE_PAGE}/pause": Deed(ask_pause_all, pause_all),
    f"{QUEUE_PAGE}/resume": Deed(ask_resume_all, resume_all),
    f"{ACCOUNTS_PAGE}/{{account}}/pause": Deed(ask_pause_account, pause_account),
    f"{ACCOUNTS_PAGE}/{{account}}/resume": Deed(ask_resume_account, resume_account),
}
