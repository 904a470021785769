"""Threads: looked for, and one of them with all that happened to it; held and released by hand."""

from typing import Any

from api.console.pages import Deed, Done, Field, Form, Look, Page, Question, Values
from shared import accounts, agents, holds
from shared.audit import Actor
from shared.errors import InvalidRequest, NotFound
from shared.inspect import deadletters, files, search, timeline
from shared.inspect.actions import threads as actions
from shared.inspect.deadletters import Selection
from shared.inspect.page import Page as Listed
from shared.inspect.search import Found, Wanted
from shared.inspect.threads import own_row
from shared.inspect.timeline import Asked, Logged, Ran, Sent
from shared.keys import Keys
from shared.models import Thread, ThreadStatus

HERE = "/console/threads"
SHOWN = 50  # rows of a page
LETTERS = 5  # dead letters named on the page of their thread
FILES = 10  # files named there
_ARCHIVED = {"yes": True, "no": False}
_FORM = ("id", "title", "external_ref", "account", "agent", "status", "archived", "held")


async def load_list(look: Look) -> Values:
    given = {name: look.text(name) for name in _FORM}
    found, missed = await _found(look, given)
    threads = found.page.items if found else []
    return {
        "given": given,
        "statuses": [(status.value, status.value) for status in ThreadStatus],
        "found": found,
        "threads": threads,
        "missed": missed,
        "names": await search.names(look.db, threads),
        "oldest": threads[-1] if threads else None,
    }


async def load_one(look: Look) -> Values:
    thread = await own_row(look.db, look.params["id"])
    number, name = await search.called(look.db, thread)
    page = await timeline.page(look.db, thread, SHOWN, look.after)
    keys = Keys(look.settings.redis_prefix)
    return {
        "title": f"Thread {thread.id}",
        "thread": thread,
        "number": number,
        "name": name,
        "names": await search.names(look.db, [thread]),
        "hold": await holds.find(look.db, thread.partition, thread.id),
        "letters": (await deadletters.page(look.db, Selection(thread=thread.id), LETTERS, None)).items,
        "behind": await deadletters.held_up(look.db, thread.partition, thread.id) if thread.held else None,
        "files": await files.files_of_thread(look.db, FILES, thread.partition, thread.id),
        "entries": [(_kind(entry.step), entry) for entry in page.items],
        "listed": page,
        "rung": await timeline.rung(look.redis, keys, page.items),
    }


THREADS = Page("threads", "Threads", load_list)
ONE_THREAD = Page("thread", "Thread", load_one)


async def _ask_hold(look: Look) -> Question:
    thread = await _thread(look)
    return Question(
        f"Hold the thread {thread.id}?",
        (
            "New events of it are refused with 409, and what waits stays where it is, until it is released.",
            "Its current run goes on. A delete passes.",
        ),
        "Hold",
        f"{HERE}/{thread.id}",
        "1 thread",
        (Field("reason", "Reason", hint="One line, for whoever wonders why.", required=True),),
        danger=False,
    )


async def _hold(look: Look, form: Form, actor: Actor) -> Done:
    thread = await _thread(look)
    held = await actions.hold(look.db, actor, thread.id, form.get("reason", ""))
    return Done("The thread is held." if held else "A hand holds this thread already.", f"{HERE}/{thread.id}")


async def _ask_release(look: Look) -> Question:
    thread = await _thread(look)
    hold = await holds.find(look.db, thread.partition, thread.id)
    behind = await deadletters.held_up(look.db, thread.partition, thread.id)
    says = [f"{behind} batch{'es wait' if str(behind) != '1' else ' waits'} behind the hold."]
    if hold is not None:
        says.insert(0, f"Held by {hold.by}: {hold.reason}")
    return Question(
        f"Release the thread {thread.id}?", says, "Release", f"{HERE}/{thread.id}", "1 thread", danger=False
    )


async def _release(look: Look, _: Form, actor: Actor) -> Done:
    thread = await _thread(look)
    released = await actions.release(look.db, actor, thread.id)
    text = "No hand holds the thread any more." if released else "No hand held this thread: it was released meanwhile."
    return Done(text, f"{HERE}/{thread.id}")


HOLD = Deed(_ask_hold, _hold)
RELEASE = Deed(_ask_release, _release)


async def _thread(look: Look) -> Thread:
    return await own_row(look.db, look.params["id"])


async def _found(look: Look, given: dict[str, str]) -> tuple[Found | None, str | None]:
    """What was looked for, or why it is not there."""
    try:
        if given["id"]:
            thread = await own_row(look.db, given["id"])
            return Found(Listed([thread], None), None), None
        return await search.find(look.db, await _wanted(look, given), SHOWN, look.after), None
    except NotFound as error:
        return None, error.message


async def _wanted(look: Look, given: dict[str, str]) -> Wanted:
    account = agent = None
    if given["account"]:
        account = (await accounts.find_account(look.db, given["account"])).id
    if given["agent"]:
        found = await agents.find_agent(look.db, given["agent"], account)
        agent, account = found.id, found.account
    return Wanted(
        account=account,
        agent=agent,
        title=given["title"] or None,
        external_ref=given["external_ref"] or None,
        status=_status(given["status"]),
        archived=_ARCHIVED.get(given["archived"]),
        held=given["held"] == "yes",
    )


def _status(text: str) -> ThreadStatus | None:
    if not text:
        return None
    try:
        return ThreadStatus(text)
    except ValueError as error:
        raise InvalidRequest(f"`status` is one of {', '.join(ThreadStatus)}.", param="status") from error


def _kind(step: Any) -> str:
    """Which piece of the template tells it."""
    kinds = {Sent: "batch", Ran: "run", Asked: "request", Logged: "event"}
    return kinds[type(step)]
