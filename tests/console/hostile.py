"""What somebody could try to put into a page by a text of theirs."""

from tests.console.screen import Screen

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
