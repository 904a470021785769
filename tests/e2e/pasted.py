"""Commands of a page, pasted into a shell as they are printed, and what each of them said."""

import re
import subprocess
from pathlib import Path


def pasted(wanted: list[str], directory: Path) -> list[str]:
    """What each command wrote to standard output, run one after another in one shell. Fails where one of them does."""
    script = "\n".join(f"printf '\\n## {n}\\n'\n{command}" for n, command in enumerate(wanted))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(re.findall(r"## (\d+)\n(.*?)(?=\n## \d|\Z)", done.stdout, re.DOTALL))
    return [said[str(n)] for n in range(len(wanted))]


def commands(page: str) -> list[str]:
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
