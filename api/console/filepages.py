"""Files: what clients uploaded and runs made, what it comes to for each account, and deleting it.

A file's name and type are texts of users. Refused here: showing what a file holds, or leading to it; what users send
stays out of the console's origin.
"""

from collections.abc import Sequence
from urllib.parse import urlencode

from api.console.pages import Deed, Done, Form, Look, Page, Question, Values
from shared import accounts, ids, words
from shared.accounts import Account
from shared.audit import Actor
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.ids import FileId
from shared.inspect import files
from shared.inspect.actions import files as actions
from shared.inspect.files import FileRecord
from shared.inspect.page import Page as Listed
from shared.inspect.threads import own_row
from shared.models import Thread

HERE = "/console/files"
SHOWN = 50  # rows of a page
NEARLY = 0.9  # of a quota: marked from there on
MOST_CHOSEN = 200  # named one by one: a page has 50 boxes, and an address of 8,190 bytes holds some more
_NAMED = 10  # of what is to be deleted, in words
_NAME = 60  # characters of each


async def load_list(look: Look) -> Values:
    account, thread = await _whose(look)
    found = await _listed(look, account, thread)
    return {
        "account": account,
        "thread": thread,
        "files": found,
        "names": await files.names(look.db, found.items),
        "usage": None if account is None else await files.usage(look.db, account.id),
        **_quota(look),
        "removals": await files.removals(look.db),
        "named": _named(look),
        "after": look.after,
    }


async def load_one(look: Look) -> Values:
    file = await files.find_detail(look.db, _id(look.params["id"]))
    return {"title": f"File {file.id}", "file": file}


async def load_accounts(look: Look) -> Values:
    return {"accounts": await files.usages(look.db, SHOWN, look.after), **_quota(look), "after": look.after}


def _quota(look: Look) -> Values:
    return {"quota": look.settings.file_quota, "nearly": NEARLY}


async def _whose(look: Look) -> tuple[Account | None, Thread | None]:
    """Whose files the list is of: an account's, by id or name, or a thread's, by id or number; else everybody's."""
    account, thread = look.text("account"), look.text("thread")
    if account and thread:
        raise InvalidRequest("Say one of `account` and `thread`.", param="thread")
    return (
        await accounts.find_account(look.db, account) if account else None,
        await own_row(look.db, thread) if thread else None,
    )


async def _listed(look: Look, account: Account | None, thread: Thread | None) -> Listed[FileRecord]:
    if thread is None:
        return await files.list_files(look.db, SHOWN, None if account is None else account.id, look.after)
    return await files.files_of_thread(look.db, SHOWN, thread.partition, thread.id, look.after)


async def _ask(look: Look) -> Question:
    wanted = _chosen(look)
    found = await files.chosen(look.db, wanted)
    if not found:
        raise Conflict("None of these can be deleted: they are gone already.")
    gone, what = len(wanted) - len(found), _several(len(found))
    return Question(
        title=f"Delete {what}?",
        says=(
            f"{_names(found)}.",
            "Nobody reads them from then on, runs neither, and their bytes are removed within seconds. There is no way"
            " back.",
            *((f"{gone:,} of those that were chosen {'is' if gone == 1 else 'are'} gone already.",) if gone else ()),
        ),
        touches=f"{what}, {words.size(sum(one.size for one in found))}",
        button="Delete",
        back=f"{HERE}/{found[0].id}" if len(found) == 1 and not _named(look) else _place(look),
    )


async def _delete(look: Look, _: Form, actor: Actor) -> Done:
    """One after the other, each with its entry in the log; what is gone meanwhile is passed over."""
    wanted, done, size = _chosen(look), 0, 0
    for file in await files.chosen(look.db, wanted):
        if await actions.delete(look.db, actor, file):
            done, size = done + 1, size + file.size
    if not done:
        return Done("Nothing was deleted: they are gone already.", _place(look))
    said = f"{_several(done)} ({words.size(size)}) {_were(done)} deleted."
    gone = len(wanted) - done
    return Done(f"{said} {gone:,} {_were(gone)} gone already." if gone else said, _place(look))


def _chosen(look: Look) -> list[FileId]:
    """Each once. Raises InvalidRequest where there is none, or too many."""
    chosen = list(dict.fromkeys(_id(text) for text in look.all("id")))
    if not chosen:
        raise InvalidRequest("Choose the files first.", param="id")
    if len(chosen) > MOST_CHOSEN:
        raise InvalidRequest(f"`id` names {len(chosen):,} files: {MOST_CHOSEN} at most.", param="id")
    return chosen


def _id(text: str) -> FileId:
    found = ids.parse(text)
    if found is None:
        raise NotFound("There is no such file.")
    return FileId(found)


def _names(found: Sequence[FileRecord]) -> str:
    told = ", ".join(f"“{words.short(one.name, _NAME)}” ({words.size(one.size)})" for one in found[:_NAMED])
    more = len(found) - _NAMED
    return f"{told} and {more} more" if more > 0 else told


def _several(number: int) -> str:
    return f"{number:,} file{'' if number == 1 else 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _named(look: Look) -> dict[str, str]:
    """Of which files the list is."""
    return {name: look.text(name) for name in ("account", "thread") if look.text(name)}


def _place(look: Look) -> str:
    named = _named(look)
    return f"{HERE}?{urlencode(named)}" if named else HERE


FILES = Page("files", "Files", load_list)
FILE = Page("file", "File", load_one)
OWNERS = Page("file_accounts", "Files by account", load_accounts)
DELETE = Deed(_ask, _delete)
