"""What keeps others from acting through an operator's browser, and a viewer from acting at all."""

import asyncio
import hashlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from yarl import URL

import api.console
from api.console import deeds, sessions
from shared import accounts, agents
from shared.inspect import auditlog
from shared.inspect.auditlog import Wanted
from shared.models import TokenKind
from tests.console.browsing import Browsing, Seen
from tests.console.hostile import XSS, only_text
from tests.console.staff import Staff

HERE = Path(api.console.__file__).parent
NEW = "/console/tokens/new"
WISH = {"kind": "viewer", "name": "made here"}
VENDORED = {
    "htmx-2.0.11.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "htmx-ext-sse-2.2.4.js": "3b5992a541619babefc4c169505af474df5c3039da51e59b96ccf9241ecd61d2",
}


async def made(staff: Staff) -> int:
    """How many tokens were made in the console."""
    count: int = await staff.service.pool.fetchval("select count(*) from tokens where name = 'made here'")
    return count


async def test_a_form_without_this_sessions_csrf_token_does_nothing(staff: Staff, operator: Browsing) -> None:
    asked = await operator.open(NEW)
    other = await (await staff.browsing(staff.admin)).open(NEW)
    form = asked.form()
    for csrf in ("", "wrong", other.form().fields["csrf"]):
        form.fields["csrf"] = csrf
        seen = await operator.submit(asked, form, WISH)
        assert (seen.status, "another session" in seen.words) == (403, True)
    assert await made(staff) == 0


async def test_what_another_site_sends_does_nothing(staff: Staff, operator: Browsing) -> None:
    asked = await operator.open(NEW)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        assert (await operator.submit(asked, asked.form(), WISH, **headers)).status == 403
    assert await made(staff) == 0


async def sent(staff: Staff, head: bytes) -> bytes:
    """What is answered to these bytes."""
    place = URL(staff.service.url)
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(head + b"\r\nHost: here\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


async def test_headers_that_nobody_can_read_are_as_good_as_none(staff: Staff, operator: Browsing) -> None:
    known = b"threadmill_console=" + operator.cookies["threadmill_console"].encode()
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n"
    with capture_logs() as lines:
        for path, cookie, status in (
            (b"/console", b"threadmill_console=\xff", b"303"),
            (b"/console?live=x", b"threadmill_console=\xff", b"200"),
            (b"/console/login", b"threadmill_login=\xff; threadmill_console=\xff", b"200"),
            (b"/console", known + b"; threadmill_flash=\xff.\xff; threadmill_theme=\xff", b"200"),
            (b"/console", known + b"; threadmill_flash=\xc3\xa9.\xc3\xa9", b"200"),
        ):
            answer = await sent(staff, b"GET " + path + b" HTTP/1.1\r\nCookie: " + cookie)
            assert answer.split(b" ", 2)[1] == status, (path, cookie, answer[:300])
        for path, cookie in ((b"/console/login", b"threadmill_login=\xff"), (b"/console/theme", known)):
            for origin in (b"", b"\r\nOrigin: http://[evil", b"\r\nOrigin: \xff"):
                head = b"POST " + path + b" HTTP/1.1\r\n" + form + b"Cookie: " + cookie + origin
                answer = await sent(staff, head)
                assert answer.split(b" ", 2)[1] == b"403", (path, origin, answer[:300])
    assert not [line for line in lines if line["log_level"] == "error"]


async def test_a_viewer_sees_and_does_nothing(staff: Staff, viewer: Browsing) -> None:
    page = await viewer.open("/console/tokens")
    assert page.status == 200
    assert "read-only" in page.words
    assert "/revoke" not in page.text
    assert NEW not in page.text
    assert (await viewer.open(NEW)).status == 403
    fields = {"csrf": page.form("/console/logout").fields["csrf"], "deed": "x" * 22, **WISH}
    seen = await viewer.call("POST", NEW, fields)
    assert (seen.status, "may look and not act" in seen.words) == (403, True)
    assert await made(staff) == 0
    assert (await auditlog.page(staff.service.pool, 10, Wanted())).items == []
    assert await staff.service.pool.fetchval("select count(*) from console_deeds") == 0


async def test_what_is_confirmed_twice_is_done_once_and_told_again(staff: Staff, operator: Browsing) -> None:
    asked = await operator.open(NEW)
    first, second = await asyncio.gather(
        operator.submit(asked, asked.form(), WISH), operator.submit(asked, asked.form(), WISH)
    )
    shown, told = sorted((first, second), key=lambda seen: seen.status)
    assert (shown.status, told.status) == (200, 303)
    assert "mst_" in shown.text
    page = await operator.open(told.location)
    assert "is not done twice. The token" in page.words
    assert "is not done twice" not in (await operator.open(told.location)).words  # it is said once
    assert await made(staff) == 1
    assert [entry.touched for entry in (await auditlog.page(staff.service.pool, 10, Wanted())).items] == [1]


async def test_a_deed_whose_process_was_killed_is_told_as_ended_without_a_word(
    staff: Staff, operator: Browsing
) -> None:
    asked = await operator.open(NEW)
    assert (await operator.submit(asked, asked.form(), WISH)).status == 200
    kill = "update console_deeds set told = null, place = null, at = at - $1 * interval '1 second'"
    await staff.service.pool.execute(kill, deeds.ENDED)
    async with asyncio.timeout(5):
        told = await operator.submit(asked, asked.form(), WISH)
    assert "is not done twice. It ended without a word: the audit log" in (await operator.open(told.location)).words
    assert await made(staff) == 1


async def test_a_replayed_form_of_another_session_is_refused(staff: Staff, operator: Browsing) -> None:
    asked = await operator.open(NEW)
    assert (await operator.submit(asked, asked.form(), WISH)).status == 200
    other = await staff.browsing(staff.admin)
    assert (await other.submit(asked, asked.form(), WISH)).status == 403
    assert await made(staff) == 1


@pytest.mark.parametrize(
    "end",
    [
        "update tokens set revoked_at = clock_timestamp() where kind = 'admin'",
        "update tokens set expires_at = clock_timestamp() where kind = 'admin'",
        "update console_sessions set expires_at = clock_timestamp()",
        "delete from console_sessions",
    ],
)
async def test_what_is_confirmed_behind_the_end_of_its_login_is_not_done_although_the_door_let_it_in(
    staff: Staff, operator: Browsing, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(sessions, "TRUST", 600.0)
    asked = await operator.open(NEW)
    await staff.service.pool.execute(end)
    seen = await operator.submit(asked, asked.form(), WISH)
    assert (seen.status, seen.location) == (303, "/console/login?to=/console")
    assert (await made(staff), (await auditlog.page(staff.service.pool, 10, Wanted())).items) == (0, [])
    assert (await operator.open("/console/tokens")).status == 303  # it is not trusted any longer


async def test_what_is_typed_wrong_is_asked_again_with_the_reason(staff: Staff, operator: Browsing) -> None:
    asked = await operator.open(NEW)
    for wrong, reason in (
        ({"kind": "human_pat"}, "Account: a client"),
        ({"kind": "human_pat", "account": "nobody"}, "Account: There is no account"),
        ({"kind": "king"}, "Kind: choose"),
        ({"kind": "viewer", "life": "soon"}, "Ends after: say 90d"),
        ({"kind": "viewer", "name": XSS * 9}, "A name is one line"),
    ):
        seen = await operator.submit(asked, asked.form(), {"account": "", "life": "", **wrong})
        assert (seen.status, reason in seen.words.replace("&#39;", "'")) == (400, True), seen.words
        assert "<script>alert" not in seen.text
        asked = seen
    assert asked.form().fields["name"] == XSS * 9  # what was typed is still there
    assert (await operator.submit(asked, asked.form(), WISH)).status == 200


async def test_what_is_gone_or_never_was_is_a_page(staff: Staff, operator: Browsing) -> None:
    token = await accounts.create_token(staff.service.pool, None, TokenKind.VIEWER, "short")
    revoke = f"/console/tokens/{token.token.id}/revoke"
    asked = await operator.open(revoke)
    assert "This touches 1 token" in asked.words
    await accounts.revoke_token(staff.service.pool, token.token.id)
    assert (await operator.submit(asked, asked.form())).status == 303  # somebody else was faster: nothing is left to do
    gone = await operator.open(revoke)
    assert (gone.status, "was revoked already" in gone.words) == (404, True)
    for path in (
        "/console/tokens/x/revoke",
        "/console/agents/01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "/console/webhooks/msg_1",
        "/console/x",
    ):
        seen = await operator.open(path)
        assert (seen.status, "Log out" in seen.words) == (404, True)
        assert seen.headers["x-request-id"] in seen.text
    for path in (
        "/console/tokens?after=x",
        "/console/tokens?kind=king",
        "/console/audit?after=Wy0xXQ",
        "/console/webhooks?state=x",
    ):
        assert (await operator.open(path)).status in {200, 400}, path
    assert (await operator.call("DELETE", "/console/tokens", None)).status in {403, 415}


async def test_whatever_a_user_can_set_is_only_ever_text(staff: Staff, operator: Browsing) -> None:
    pool = staff.service.pool
    account = await accounts.create_account(pool, XSS)
    token = await accounts.create_token(pool, account.id, TokenKind.SERVICE_TOKEN, XSS)
    agent = await agents.create_agent(pool, account.id, XSS, "python", config={XSS: XSS, "function": "</pre>" + XSS})
    await operator.confirm(f"/console/agents/{agent.id}/publish")
    pages = [
        "/console/tokens",
        f"/console/tokens/{token.token.id}/revoke",
        "/console/agents",
        f"/console/agents/{agent.id}",
        f"/console/agents/{agent.id}/unpublish",
        "/console/audit",
        f"/console/audit?actor={XSS}&action={XSS}&target={XSS}",
        f"/console/tokens?account={XSS}",
        f"/console/login?to={XSS}",
        f"/console/{XSS}",
    ]
    for path in pages:
        only_text(await operator.open(path))


def test_no_template_shows_markup_of_others_or_holds_a_script_or_a_style() -> None:
    templates = sorted((HERE / "templates").rglob("*.html"))
    assert len(templates) > 10
    for path in templates:
        text = path.read_text(encoding="utf-8")
        for forbidden in (
            "|safe",
            "| safe",
            "autoescape",
            "style=",
            "<style",
            "onclick",
            "onload",
            "javascript:",
            "hx-on",
        ):
            assert forbidden not in text, (path.name, forbidden)
        assert "<script>" not in text, path.name


def _policy(seen: Seen) -> dict[str, str]:
    pairs = (part.strip().partition(" ")[::2] for part in seen.headers["content-security-policy"].split(";"))
    return dict(pairs)


async def test_every_page_says_what_a_browser_may_do_with_it(operator: Browsing) -> None:
    seen = [
        await operator.open(path)
        for path in ("/", "/console", "/console/", "/console/login", "/console/nothing", "/console/static/x/no.js", NEW)
    ]
    for method, path in (("POST", "/console"), ("DELETE", "/console/tokens"), ("PUT", "/console/login")):
        seen.append(await operator.call(method, path, None))
    for one in seen:
        policy = _policy(one)
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'", one.path
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert "unsafe" not in one.headers["content-security-policy"]
        assert one.headers["cache-control"] == "no-store"
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["referrer-policy"] == "same-origin"


async def test_static_files_are_kept_for_ever_under_their_hash(staff: Staff) -> None:
    browsing = staff.stranger()
    page = await browsing.open("/console/login")
    names = {piece.split('"')[0] for piece in page.text.split('="') if piece.startswith("/console/static/")}
    assert len(names) >= 5
    for name in names:
        seen = await browsing.open(name)
        assert (seen.status, seen.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert (await browsing.open(name, If_None_Match=seen.headers["etag"])).status == 304
    assert (await browsing.open("/console/static/0000/console.css")).headers["cache-control"] == "no-cache"
    for outside in (
        "/console/static/x/../console.py",
        "/console/static/x/%2e%2e/console.py",
        "/console/static/x/nothing.js",
    ):
        assert (await browsing.open(outside)).status in {303, 404}


@pytest.mark.parametrize("name", VENDORED)
def test_what_others_wrote_is_as_they_published_it(name: str) -> None:
    directory = HERE / "static" / "vendor"
    assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == VENDORED[name]
    assert {path.name for path in directory.iterdir()} == {*VENDORED, "LICENSE-htmx", "LICENSE-htmx-ext-sse"}
