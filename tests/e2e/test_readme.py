"""The conversation of the README: exactly its commands, one after another, against a `dev` of their own."""

import json
import re
from pathlib import Path

from tests.e2e.dev_process import DevProcess
from tests.e2e.pasted import commands, pasted

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
CONVERSATION = README.split("## A conversation")[1].split("\n## ")[0]


def test_the_readme_s_conversation_happens_as_it_says(dev: DevProcess, tmp_path: Path) -> None:
    dev.ready()
    wanted = commands(CONVERSATION)
    assert len(wanted) == 18
    said = pasted(wanted, tmp_path)
    _check_echo(said)
    _check_approve(said)
    _check_files(said)


def _check_echo(said: list[str]) -> None:
    assert said[4].startswith(": connected\n")
    assert deltas(said[4]) == "Hello there"
    assert types(said[4])[-1] == "run.completed"
    answer = json.loads(said[5])
    assert [(event["type"], event["run"]["status"]) for event in answer["events"]] == [
        ("user_message", "queued"),
        ("user_message", "queued"),
        ("user_interrupt", "cancelled"),
    ]
    assert [warning["code"] for warning in answer["warnings"]] == ["queued_behind"]
    run = json.loads(said[7])["run"]
    assert (run["status"], run["finalOutput"]) == ("completed", {"text": "Never mind."})


def _check_approve(said: list[str]) -> None:
    (decided,) = json.loads(said[10])["events"]
    assert decided["run"]["status"] == "waiting_input"
    assert "tool.confirmation.required" in types(said[11])
    assert deltas(said[11]).endswith("Water the plants")
    history = json.loads(said[12])["events"]
    assert history[0]["content"] == "Water the plants"
    assert history[-2]["type"] == "run.completed"


def _check_files(said: list[str]) -> None:
    created = json.loads(said[15])
    assert set(created) == {"links", "run", "thread"}
    assert created["thread"]["client_external_ref"] == "linear-ENG-123"
    assert created["thread"]["title"] == "Summarize the attached launch plan and list follow-ups."
    (file,) = json.loads(said[16])["files"]
    assert {name: file[name] for name in ("name", "size", "mimeType", "kind", "committed")} == {
        "name": "plan.txt",
        "size": 19,
        "mimeType": "text/plain",
        "kind": "attachment",
        "committed": True,
    }
    assert said[17].strip() == "Ship it on Friday."


def frames(text: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in re.findall(r"^data: (.*)$", text, re.MULTILINE)]


def types(text: str) -> list[str]:
    return [frame["type"] for frame in frames(text)]


def deltas(text: str) -> str:
    return "".join(frame["content"] for frame in frames(text) if frame["type"] == "agent.message.delta")
