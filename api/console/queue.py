"""The queue's pages: what waits in each partition, for whom, who has it in hand; the batches, and one of them."""

import asyncio

from api.console.pages import Look, Page, Values
from shared import accounts, ids
from shared.db.statements import statements
from shared.errors import InvalidRequest, NotFound
from shared.ids import AccountId
from shared.inspect import files, limits
from shared.inspect.batches import blocked_batches, find_batch, waiting_batches
from shared.inspect.bells import Bells, read_bells
from shared.inspect.limits import Limited, account_limits, backlog, limited
from shared.inspect.partitions import accounts_with_work, paused_accounts, read_partitions, work_of
from shared.keys import Keys
from shared.queue import AWAY

QUEUE_PAGE = "/console/queue"
ACCOUNTS_PAGE = "/console/queue/accounts"
SHOWN = 10  # accounts, and callers that were refused, on the queue's own page
LISTED = 50  # accounts, batches on a page of theirs
_PATIENCE = 1.0  # seconds for Redis: most of the page is Postgres' to say


async def load(look: Look) -> Values:
    size = await look.db.fetchval(statements("inspect")["partitions"])
    bells = await _bells(look, size)
    found = await read_partitions(look.db, bells.oldest if bells else ())
    refused = await _refused(look)
    return {
        "bells": bells,
        "backlog": backlog(look.settings, sum(bells.waiting.values()) if bells else None),
        "busy": [one for one in found if one.busy or (bells and bells.waiting.get(one.id))],
        "size": size,
        "paused": sum(one.paused for one in found),
        "accounts": await accounts_with_work(look.db, SHOWN),
        "refused": refused if _all_refused(look) else refused[:SHOWN],
        "more_refused": len(refused) > SHOWN and not _all_refused(look),
    }


async def _bells(look: Look, partitions: int) -> Bells | None:
    """None where Redis is away: the frame says so."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await read_bells(look.redis, Keys(look.settings.redis_prefix), range(partitions))
    except AWAY:
        return None


async def _refused(look: Look) -> list[Limited]:
    """Whom a limit refused lately; nobody is known while Redis is away."""
    most = limits.SHOWN if _all_refused(look) else SHOWN + 1
    try:
        async with asyncio.timeout(_PATIENCE):
            return await limited(look.db, look.redis, Keys(look.settings.redis_prefix), most)
    except AWAY:
        return []


def _all_refused(look: Look) -> bool:
    """Whether all that Redis keeps are asked for: no more than fit on a page."""
    return look.text("refused") == "all"


async def load_account(look: Look) -> Values:
    account = (await accounts.find_account(look.db, look.text("account"))).id
    keys = Keys(look.settings.redis_prefix)
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await account_limits(look.db, look.redis, keys, look.settings, account)
    except AWAY:
        found = await account_limits(look.db, None, keys, look.settings, account)
    work = await work_of(look.db, account)
    usage = await files.usage(look.db, account)
    return {
        "work": work,
        "found": found,
        "usage": usage,
        "quota": look.settings.file_quota,
        "looked": limits.TOKENS,
        "title": work.name,
    }


def account_of(look: Look) -> AccountId:
    """The account that the path names. Raises NotFound."""
    found = ids.parse(look.text("account"))
    if found is None:
        raise NotFound(f"There is no account {look.text('account')!r}.")
    return AccountId(found)


async def load_accounts(look: Look) -> Values:
    held = look.text("show") == "paused"
    if held:
        return {"accounts": await paused_accounts(look.db, LISTED, look.after), "held": held}
    return {"accounts": await accounts_with_work(look.db, LISTED, look.after), "held": held}


async def load_batches(look: Look) -> Values:
    size = await look.db.fetchval(statements("inspect")["partitions"])
    partition, account = look.whole("partition", most=size - 1), look.text("account")
    blocked = look.text("show") == "blocked"
    if blocked:
        found = await blocked_batches(look.db, LISTED, partition, look.after)
    else:
        found = await waiting_batches(look.db, LISTED, partition, _account(account), look.after)
    return {
        "batches": found,
        "blocked": blocked,
        "partition": look.text("partition"),
        "account": "" if blocked else account,
    }


def _account(text: str) -> AccountId | None:
    found = ids.parse(text) if text else None
    if text and found is None:
        raise InvalidRequest("`account` is the id of an account.", param="account")
    return None if found is None else AccountId(found)


async def load_batch(look: Look) -> Values:
    batch = await find_batch(look.db, look.text("batch"))
    return {"batch": batch, "title": f"Batch {batch.id}"}


QUEUE = Page("queue", "Queue", load)
ACCOUNT = Page("queue_account", "Account", load_account)
ACCOUNTS = Page("queue_accounts", "Accounts with work", load_accounts)
BATCHES = Page("batches", "Batches", load_batches, live=False)
BATCH = Page("batch", "Batch", load_batch)
