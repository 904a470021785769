"""What somebody could try to put into a page by a text of theirs."""

from markupsafe import escape

from tests.console.browsing import Seen
from tests.console.screen import Screen

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
HOSTILE = (
    "\u202egpj.exe\x1b[31m </script><script>window.pwned=1</script><img src=x onerror=window.pwned=2>"
    "\"' onmouseover=window.pwned=3 javascript:window.pwned=4 {{ 7*7 }}"
)


async def harmless(screen: Screen) -> None:
    """Nothing of it ran or became an element, and what can't be seen is spelled out."""
    assert await screen.page.evaluate("window.pwned") is None
    found = await screen.page.evaluate(
        "[document.querySelectorAll('img[src=x], [onmouseover], [onerror], a[href^=javascript]').length,"
        " document.body.innerText.includes('U+202E'), document.body.innerText.includes('\\u202e')]"
    )
    assert found == [0, True, False]


def only_text(seen: Seen, *shown: str) -> None:
    """None of `XSS` stands in the page as markup, and each of these stands there as text."""
    for raw in ("<script>alert", "<img src=x"):
        assert raw not in seen.text, (seen.path, raw)
    for text in shown:
        assert str(escape(text)) in seen.text, (seen.path, text)
