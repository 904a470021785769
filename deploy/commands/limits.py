"""`threadmill account limit`, `threadmill account show`, `threadmill token limit`: who may do how much at once."""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy import context, words
from deploy.errors import SetupError
from deploy.session import document, open_session
from shared import accounts, audit, ids
from shared.accounts import Account
from shared.errors import NotFound
from shared.ids import TokenId
from shared.inspect.actions import limits as actions
from shared.inspect.actions.limits import Own, Word
from shared.inspect.counts import Count
from shared.inspect.limits import TOKENS, Limit, Limited, OfAccount, account_limits, limited
from shared.keys import Keys
from shared.limits import NO_LIMIT
from shared.queue import AWAY, open_redis

_REDIS_TIMEOUT = 2.0  # seconds; a person waits for it
_UNITS = {
    "account_rate": "requests a second",
    "token_rate": "requests a second",
    "in_flight": "batches in flight",
    "concurrency": "runs in one worker",
    "backlog": "batches that wait",
}
_OF = {"token_rate": "each token", "backlog": "all accounts"}  # where no token is named; else the account
_PLAIN = {
    int: re.compile("[0-9]{1,15}"),
    float: re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?"),
}  # not all that Python reads
_KINDS = {int: "a whole number in plain digits", float: "a number in plain digits, such as 50 or 0.5"}

RateOption = Annotated[
    str | None, typer.Option("--rate", metavar="N|none|default", help="Requests a second; default: the setting's.")
]
BurstOption = Annotated[
    str | None, typer.Option("--burst", metavar="N|default", help="Requests at once; default: one second's worth.")
]
AccountArgument = Annotated[str, typer.Argument(help="The name of an account, or its id.")]


def limit_account(
    account: AccountArgument,
    rate: RateOption = None,
    burst: BurstOption = None,
    in_flight: Annotated[
        str | None,
        typer.Option("--in-flight", metavar="N|none|default", help="Batches accepted and not applied."),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option("--concurrency", metavar="N|none|default", help="Runs that one worker executes at once."),
    ] = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Limit what an account may do at once; what is not given stays. Apis see it in 10 s, workers in one."""
    given = {
        "rate": _number("--rate", rate, float),
        "burst": _number("--burst", burst, int),
        "in_flight": _number("--in-flight", in_flight, int),
        "concurrency": _number("--concurrency", concurrency, int),
    }
    _print_own(asyncio.run(_limit_account(data, account, given)), as_json)


def limit_token(
    token: Annotated[str, typer.Argument(help="The id of the token, as `token list` shows it.")],
    rate: RateOption = None,
    burst: BurstOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Limit what one token may do at once, beside the limit of its account. Apis see it within 10 s."""
    wanted = ids.parse(token)
    if wanted is None:
        raise NotFound(f"{token!r} is no id of a token: see `threadmill token list`.")
    given = {"rate": _number("--rate", rate, float), "burst": _number("--burst", burst, int)}
    _print_own(asyncio.run(_limit_token(data, TokenId(wanted), given)), as_json)


def show_account(
    account: AccountArgument, data: context.DataOption = None, as_json: context.JsonOption = False
) -> None:
    """Show an account: its limits, how much of each is used, and when it was refused lately."""
    found, of_account, refused = asyncio.run(_show_account(data, account))
    if as_json:
        context.print_json({"account": document(found), **document(of_account), "limited": document(refused)})
        return
    state = "paused" if found.held else "open"
    context.print_table(["id", "name", "state"], [(found.id, found.name, state)])
    context.print_table(["limit", "of", "most", "burst", "used", "set by"], [_row(one) for one in of_account.limits])
    if of_account.unshown:
        one = of_account.unshown == 1
        more = "1 more token has used its" if one else f"{of_account.unshown:,} more tokens have used their"
        typer.echo(f"{more} rate lately.", err=True)
    if of_account.unlooked:
        typer.echo(f"It has more tokens: only the oldest {TOKENS:,} were looked at.", err=True)
    show_limited(refused)


def show_limited(refused: list[Limited]) -> None:
    """A table of who was refused lately, where there is anybody."""
    if refused:
        rows = [
            (
                one.limit,
                one.account_name or one.account,
                one.token_name or one.token,
                f"{one.count:,}",
                words.moment(one.last_at),
            )
            for one in refused
        ]
        context.print_table(["refused by", "account", "token", "times", "last (UTC)"], rows)


def _row(limit: Limit) -> tuple[object, ...]:
    most = f"{limit.amount} {_UNITS[limit.name]}" if limit.amount else "none"
    return (
        limit.name,
        limit.token_name or _OF.get(limit.name, "account"),
        most,
        limit.burst,
        _used(limit.used),
        limit.source,
    )


def _used(used: Count | None) -> str:
    return "" if used is None else str(used)


def _number(option: str, text: str | None, kind: type) -> Any:
    """A number, or one of the words. Raises SetupError."""
    if text is None or text in set(Word):
        return None if text is None else Word(text)
    if not _PLAIN[kind].fullmatch(text):
        raise SetupError(f"{option} {text!r}: {_KINDS[kind]}, or one of {', '.join(Word)}")
    return kind(text)


def _print_own(own: Own, as_json: bool) -> None:
    fields = {name: _plain(value) for name, value in document(own).items()}
    if as_json:
        context.print_json({"limits": fields})
    else:
        context.print_table(["limit", "value"], [(name, value or "default") for name, value in fields.items()])


def _plain(value: float | None) -> object:
    return str(Word.NONE) if value in (float("inf"), NO_LIMIT) else value


async def _limit_account(data: Path | None, named: str, given: dict[str, Any]) -> Own:
    async with open_session(data) as connection:
        account = await accounts.find_account(connection, named)
        return await actions.limit_account(connection, audit.command_line(), account.id, **given)


async def _limit_token(data: Path | None, token: TokenId, given: dict[str, Any]) -> Own:
    async with open_session(data) as connection:
        return await actions.limit_token(connection, audit.command_line(), token, **given)


async def _show_account(data: Path | None, named: str) -> tuple[Account, OfAccount, list[Limited]]:
    """Without Redis nobody knows how much of a rate is used, nor who was refused."""
    settings = context.resolve(data)
    keys, redis = Keys(settings.redis_prefix), open_redis(settings.redis_url, _REDIS_TIMEOUT)
    try:
        async with open_session(data) as connection:
            account = await accounts.find_account(connection, named)
            try:
                limits = await account_limits(connection, redis, keys, settings, account.id)
                refused = [one for one in await limited(connection, redis, keys) if one.account == account.id]
            except AWAY:
                return account, await account_limits(connection, None, keys, settings, account.id), []
            return account, limits, refused
    finally:
        await redis.aclose()
