"""What somebody looks for is refused by name where no row can have it."""

import pytest

from deploy import cli
from shared.errors import InvalidRequest
from shared.inspect.auditlog import Wanted
from shared.inspect.deadletters import Selection
from shared.inspect.given import LONGEST
from shared.inspect.search import Wanted as Thread


@pytest.mark.parametrize("text", ["a\0", "\udcff", "x" * (LONGEST + 1)], ids=["nul", "half", "long"])
def test_what_can_not_be_kept_is_refused_by_its_name(text: str) -> None:
    for make, name in ((lambda: Wanted(actor=text), "actor"), (lambda: Selection(error=text), "error")):
        with pytest.raises(InvalidRequest, match=f"`{name}`"):
            make()
    with pytest.raises(InvalidRequest, match="`title`"):
        Thread(title=text)


@pytest.mark.parametrize(
    "line", [("thread", "list", "--title"), ("dead", "list", "--error"), ("audit", "list", "--target")]
)
def test_a_command_line_that_is_not_utf_8_ends_with_2(
    line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*line, "\udcff"]) == 2
    assert capsys.readouterr().err == "threadmill: the command line is not in UTF-8\n"
