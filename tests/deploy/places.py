"""Where the files are, how they are taken apart, and how a program of somebody else's is run over them."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def said(*command: str | Path, timeout: float = 60, env: Mapping[str, str] | None = None) -> str:
    """What a command printed, both ways; fails where it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, env=env)
    assert ended.returncode == 0, f"{command[0]}: {ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


def documents(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def packages(lock: Path) -> dict[str, str]:
    """Each package's lines, with its version and hashes, by its name."""
    blocks = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8").strip())
    return {re.split(r"[=;\s]", block, maxsplit=1)[0]: block.strip() for block in blocks if not block.startswith("#")}
