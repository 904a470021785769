"""Where the files are, and how a program of somebody else's is run over them."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def said(*command: str | Path, **options: Any) -> str:
    """What a command printed, both ways; fails where it fails."""
    told = {"timeout": 60, **options}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, **told)
    assert ended.returncode == 0, f"{command[0]}: {ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


def documents(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))
