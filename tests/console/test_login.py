"""Who gets into the console, with what, and for how long."""

import asyncio
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest
from structlog.testing import capture_logs

from api.console import seats, sessions
from api.console.live import OVER
from api.sse import CONNECTED
from shared import accounts
from shared.ids import TokenId
from shared.models import TokenKind
from shared.settings import Settings
from tests.console.browsing import Browsing, Seen
from tests.console.staff import Staff, staff_of
from tests.service import running_api, running_service
from tests.watch import until

SESSION = "threadmill_console"


def in_console(seen: Seen) -> bool:
    return seen.status == 200 and "Log out" in seen.words


async def test_a_login_leads_to_the_page_that_was_asked_for_and_a_logout_ends_it(staff: Staff) -> None:
    browsing = staff.stranger()
    seen = await browsing.open("/console/nothing?x=1")
    assert (seen.status, seen.location) == (303, "/console/login?to=/console/nothing%3Fx%3D1")
    form = await browsing.open(seen.location)
    seen = await browsing.submit(form, form.form("/console/login"), {"token": staff.admin})
    assert (seen.status, seen.location) == (303, "/console/nothing?x=1")
    cookie = seen.cookies[SESSION]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Strict", "/", "")
    page = await browsing.open("/console")
    assert in_console(page)
    assert staff.admin not in page.text
    kept = dict(browsing.cookies)
    assert (await browsing.submit(page, page.form("/console/logout"))).location == "/console/login"
    browsing.cookies = kept  # somebody copied the cookie
    assert (await browsing.open("/console")).status == 303
    assert await staff.service.pool.fetchval("select count(*) from console_sessions") == 0


async def test_the_cookie_is_secure_where_the_browser_speaks_https_to_a_proxy(staff: Staff) -> None:
    browsing = staff.stranger()
    form = await browsing.open("/console/login", X_Forwarded_Proto="https")
    seen = await browsing.submit(
        form, form.form("/console/login"), {"token": staff.admin}, X_Forwarded_Proto="https", Origin=staff.service.url
    )
    assert seen.cookies[SESSION]["secure"] is True


async def test_a_wrong_token_is_refused_and_never_repeated_and_many_are_logged_in_one_line(staff: Staff) -> None:
    with capture_logs() as lines:
        for token in ("", "guess", "mst_" + "x" * 43):
            browsing = staff.stranger()
            seen = await browsing.log_in(token)
            assert seen.status == 401
            assert SESSION not in browsing.cookies
            assert not token or token not in seen.text
            assert not token or token not in str(lines)
    refused = [line for line in lines if line["event"] == "console login refused"]
    assert [(line["address"], line["unsaid"]) for line in refused] == [("127.0.0.1", 0)]


async def test_a_login_form_of_another_browser_lets_nobody_in(staff: Staff) -> None:
    browsing, other = staff.stranger(), staff.stranger()
    form = await other.open("/console/login")
    await browsing.open("/console/login")  # its own cookie, and the other one's form
    seen = await browsing.submit(form, form.form("/console/login"), {"token": staff.admin})
    assert (seen.status, SESSION in browsing.cookies) == (403, False)


async def test_a_session_is_known_to_every_api_and_over_in_every_one(
    staff: Staff, operator: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TRUST", 0.0)
    async with running_api(staff.service.settings) as url:
        there = Browsing(staff.service.session, url, dict(operator.cookies))
        asked = await there.open("/console/tokens/new")
        assert asked.status == 200
        done = await operator.submit(asked, asked.form(), {"kind": "viewer", "name": "made here"})
        told = await there.submit(asked, asked.form(), {"kind": "viewer", "name": "made here"})
        assert (done.status, told.status, told.location) == (200, 303, "/console/tokens")
        page = await operator.open("/console")
        await operator.submit(page, page.form("/console/logout"))
        assert (await there.open("/console")).status == 303


async def test_streams_end_with_their_api_within_a_second(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_service(settings, worker=False))
        staff = await staff_of(service)
        operator = await staff.browsing(staff.admin)
        headers = {"Cookie": f"{SESSION}={operator.cookies[SESSION]}"}
        client = aiohttp.ClientSession()  # closed behind the service, whose own one ends with it
        stream = await client.get(f"{service.url}/console?live=none", headers=headers)
        assert await stream.content.readline() == b": connected\n"
        ending = asyncio.create_task(stack.pop_all().aclose())
        async with asyncio.timeout(1):
            with suppress(aiohttp.ClientError):
                await stream.content.read()
        await ending
        await client.close()


async def test_a_clients_token_is_refused(staff: Staff) -> None:
    client = await staff.service.client("acme")
    browsing = staff.stranger()
    seen = await browsing.log_in(client.token)
    assert seen.status == 403
    assert "client's token" in seen.words.replace("&#39;", "'")
    assert SESSION not in browsing.cookies


async def test_each_login_has_a_session_of_its_own_whatever_cookie_came_with_it(staff: Staff) -> None:
    browsing = await staff.browsing(staff.admin)
    first = browsing.cookies[SESSION]
    form = await staff.stranger().open("/console/login")  # its form, while the browser keeps the session's cookie
    browsing.cookies |= {name: morsel.value for name, morsel in form.cookies.items()}
    seen = await browsing.submit(form, form.form("/console/login"), {"token": staff.admin})
    assert seen.status == 303
    assert browsing.cookies[SESSION] != first
    browsing.cookies[SESSION] = first
    assert (await browsing.open("/console")).status == 303
    browsing.cookies[SESSION] = "chosen-by-somebody-else"
    await browsing.log_in(staff.admin)
    assert browsing.cookies[SESSION] != "chosen-by-somebody-else"


async def test_a_revoked_token_ends_its_sessions_and_their_streams(
    staff: Staff, operator: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TRUST", 0.2)
    monkeypatch.setattr("api.console.live.CHECK", 0.2)
    headers = {"Cookie": f"{SESSION}={operator.cookies[SESSION]}"}
    async with operator.session.get(f"{operator.url}/console?live=none", headers=headers) as stream:
        token = await staff.service.pool.fetchval("select token from console_sessions")
        await accounts.revoke_token(staff.service.pool, TokenId(token))
        async with asyncio.timeout(5):
            heard = await stream.content.read()
    assert heard.endswith(OVER)
    assert (await operator.open("/console")).status == 303
    assert (await operator.open("/console?live=none")).text.endswith(OVER.decode())


async def test_a_session_ends_with_its_time_and_is_forgotten_at_the_next_login(
    staff: Staff, operator: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TRUST", 0.0)
    await staff.service.pool.execute("update console_sessions set expires_at = now() - interval '1 second'")
    assert (await operator.open("/console")).status == 303
    await staff.browsing(staff.admin)
    assert await staff.service.pool.fetchval("select count(*) from console_sessions") == 1


async def test_a_token_that_ends_soon_ends_its_session_without_a_look_at_postgres(staff: Staff) -> None:
    token = await accounts.create_token(staff.service.pool, None, TokenKind.ADMIN, life=2)
    browsing = await staff.browsing(token.secret.text)
    assert in_console(await browsing.open("/console"))

    async def over() -> bool:
        return (await browsing.open("/console")).status == 303

    assert await until(over, timeout=6)


async def test_a_token_has_so_many_logins_and_its_oldest_one_ends_for_the_next(
    staff: Staff, viewer: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TRUST", 600.0)
    monkeypatch.setattr(sessions, "LOGINS", 2)
    browsing = [await staff.browsing(staff.admin) for _ in range(3)]
    assert [(await one.open("/console/tokens")).status for one in (*browsing, viewer)] == [303, 200, 200, 200]
    assert await staff.service.pool.fetchval("select count(*) from console_sessions") == 3


async def test_one_token_has_so_many_live_pages_however_many_logins_it_makes(
    staff: Staff, operator: Browsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "MOST_OF_ONE", 2)
    async with AsyncExitStack() as streams:

        async def first_word(browsing: Browsing) -> bytes:
            headers = {"Cookie": f"{SESSION}={browsing.cookies[SESSION]}"}
            stream = await streams.enter_async_context(
                browsing.session.get(f"{browsing.url}/console/tokens?live=none", headers=headers)
            )
            async with asyncio.timeout(5):
                assert await stream.content.readuntil(b"\n\n") == CONNECTED
                return (await stream.content.readuntil(b"\n\n")).splitlines()[1]

        words = [await first_word(await staff.browsing(staff.viewer)) for _ in range(3)]
        assert words[:2] == [b"data: "] * 2
        assert b"Your token watches" in words[2]
        assert await first_word(operator) == b"data: "


async def test_a_login_leads_nowhere_but_into_the_console(staff: Staff) -> None:
    evil = (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/console\\@evil.example",
        "/consoles",
        "javascript:1",
    )
    for to in evil:
        browsing = staff.stranger()
        form = await browsing.open("/console/login")
        seen = await browsing.submit(form, form.form("/console/login"), {"token": staff.admin, "to": to})
        assert (seen.status, seen.location) == (303, "/console")


async def test_who_guesses_waits_longer_each_time(staff: Staff) -> None:
    browsing, loop = staff.stranger(), asyncio.get_running_loop()
    for _ in range(3):
        await browsing.log_in("guess")
    begun = loop.time()
    assert (await browsing.log_in("guess")).status == 401
    assert loop.time() - begun >= 0.3
