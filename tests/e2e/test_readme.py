"""The conversation of the README: exactly its commands, one after another, against a `dev` of their own."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.dev_process import DevProcess
from tests.e2e.users import User

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
CONVERSATION = README.split("## A conversation")[1].split("\n## ")[0]


def commands(page: str = CONVERSATION) -> list[str]:
    """What stands behind `$ `, with the lines that go on with it."""
    found: list[str] = []
    open_ = False
    for line in page.splitlines():
        text = line.removeprefix("    ")
        if line.startswith("    $ "):
            found.append(text.removeprefix("$ "))
        elif open_:
            found[-1] += f"\n{text}"
        open_ = (line.startswith("    $ ") or open_) and _goes_on(found[-1])
    return found


def _goes_on(command: str) -> bool:
    """Whether a shell would ask for more."""
    return (
        command.endswith("\\")
        or subprocess.run(["bash", "-n", "-c", command], check=False, capture_output=True).returncode != 0
    )


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[DevProcess]:
    me = User("me", tmp_path)
    dev = DevProcess(me.home, ".data", "--port", "0", "--json", become=me.become)
    yield dev
    dev.clean_up()


def test_the_readme_s_conversation_happens_as_it_says(dev: DevProcess, tmp_path: Path) -> None:
    dev.ready()
    wanted = commands()
    assert len(wanted) == 13
    script = "\n".join(f"printf '\\n## {n}\\n'\n{command}" for n, command in enumerate(wanted))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(re.findall(r"## (\d+)\n(.*?)(?=\n## \d|\Z)", done.stdout, re.DOTALL))
    _check_echo(said)
    _check_approve(said)


def _check_echo(said: dict[str, str]) -> None:
    assert said["4"].startswith(": connected\n")
    assert deltas(said["4"]) == "Hello there"
    assert types(said["4"])[-1] == "run.completed"
    answer = json.loads(said["5"])
    assert [(event["type"], event["run"]["status"]) for event in answer["events"]] == [
        ("user_message", "queued"),
        ("user_message", "queued"),
        ("user_interrupt", "cancelled"),
    ]
    assert [warning["code"] for warning in answer["warnings"]] == ["queued_behind"]
    run = json.loads(said["7"])["run"]
    assert (run["status"], run["finalOutput"]) == ("completed", {"text": "Never mind."})


def _check_approve(said: dict[str, str]) -> None:
    (decided,) = json.loads(said["10"])["events"]
    assert decided["run"]["status"] == "waiting_input"
    assert "tool.confirmation.required" in types(said["11"])
    assert deltas(said["11"]).endswith("Water the plants")
    history = json.loads(said["12"])["events"]
    assert history[0]["content"] == "Water the plants"
    assert history[-2]["type"] == "run.completed"


def frames(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in re.findall(r"^data: (.*)$", text, re.MULTILINE)]


def types(text: str) -> list[str]:
    return [frame["type"] for frame in frames(text)]


def deltas(text: str) -> str:
    return "".join(frame["content"] for frame in frames(text) if frame["type"] == "agent.message.delta")
