"""Which servers a command means, what `dev.json` keeps, and how a command line ends."""

import json
import stat
from pathlib import Path

import pytest

from deploy import cli, context, devfile
from deploy.devfile import DevFile, Ports
from deploy.errors import SetupError

KEPT = DevFile(
    url="http://127.0.0.1:1",
    token="mst_a",
    agents={"echo": "E"},
    database_url="postgresql://of-the-file/x",
    redis_url="redis://of-the-file/0",
    ports=Ports(api=1),
)


@pytest.fixture(autouse=True)
def nothing_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_comes_before_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    devfile.write(tmp_path, KEPT)
    monkeypatch.setenv("DATABASE_URL", "postgresql://given/x")
    monkeypatch.setenv("REDIS_URL", "redis://given/0")
    settings = context.resolve(tmp_path)
    assert (settings.database_url, settings.redis_url) == ("postgresql://given/x", "redis://given/0")


def test_the_named_directory_comes_before_the_default_one(tmp_path: Path) -> None:
    (tmp_path / ".data").mkdir()
    (tmp_path / "named").mkdir()
    devfile.write(tmp_path / ".data", KEPT)
    devfile.write(tmp_path / "named", KEPT.model_copy(update={"database_url": "postgresql://named/x"}))
    assert context.resolve(None).database_url == "postgresql://of-the-file/x"
    assert context.resolve(Path("named")).database_url == "postgresql://named/x"
    assert context.resolve(Path("named")).redis_url == "redis://of-the-file/0"


def test_no_server_at_all_is_said_with_what_to_do() -> None:
    with pytest.raises(SetupError, match=r"no dev.json in .data; set DATABASE_URL and REDIS_URL, or start `thread"):
        context.resolve(None)


def test_the_file_is_for_its_owner_only_and_comes_back_as_it_was(tmp_path: Path) -> None:
    devfile.write(tmp_path, KEPT)
    devfile.write(tmp_path, KEPT)
    assert devfile.read(tmp_path) == KEPT
    assert stat.S_IMODE((tmp_path / "dev.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["dev.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"token": 5}', "\x00"])
def test_a_file_that_is_no_dev_json_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "dev.json").write_text(text)
    with pytest.raises(SetupError, match="remove it, or name another --data"):
        devfile.read(tmp_path)


def test_a_server_is_named_by_its_address_never_by_its_password() -> None:
    said = context.unanswered("Postgres", "postgresql://me:secret@db.example:6432/x")
    assert said == "Postgres at db.example:6432 does not answer"


def test_a_document_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    context.print_json({"text": "Grüße\n"})
    assert json.loads(capsys.readouterr().out) == {"text": "Grüße\n"}


def test_a_document_holds_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\x9b31m\x7f\u202eb\u2066\ufeff\U000e0041\ud800 \N{SNOWMAN}\U0001f642"
    context.print_json({text: [text]})
    shown = capsys.readouterr().out
    assert (json.loads(shown), shown.rstrip("\n").isprintable()) == ({text: [text]}, True)
    assert "\N{SNOWMAN}\U0001f642" in shown


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["a\r\n\r\nb\tc\n"], "a\n\nb\tc\n"),
        (["a\r", "\nb"], "a\nb"),
        (["a\rb\x1b[2J", "\r\r\n"], "a\ufffdb\ufffd[2J\ufffd\n"),
    ],
)
def test_a_line_of_a_text_ends_with_crlf_too_and_a_terminal_obeys_nothing(pieces: list[str], shown: str) -> None:
    assert "".join(map(context.plain, pieces)) == shown


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("migrate", 2, "no database"),
        ("migrate --colour", 2, "--colour"),
        ("weave", 2, "weave"),
        ("migrate --data", 2, "--data"),
    ],
)
def test_a_wrong_command_line_ends_with_one_line_and_2(
    capsys: pytest.CaptureFixture[str], line: str, code: int, said: str
) -> None:
    assert cli.run(line.split()) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    (told,) = shown.err.splitlines()
    assert told.startswith("threadmill: ")
    assert said in told


def test_the_version_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.count(".") == 2
