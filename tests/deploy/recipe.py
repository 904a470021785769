"""The Dockerfile as data: its stages, their instructions, and which files its builder would see."""

import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatch

from tests.deploy.places import DEPLOY, ROOT, said

TEXT = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)  # an instruction and its arguments, in one line

    def last(self, instruction: str) -> str:
        return [arguments for name, arguments in self.steps if name == instruction][-1]

    def words(self, instruction: str) -> list[str]:
        """Of an instruction in its JSON form."""
        found: list[str] = json.loads(self.last(instruction))
        return found


def stages(text: str = TEXT) -> list[Stage]:
    """In their order. Of Dockerfile's syntax as far as ours goes."""
    found: list[Stage] = []
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        if not line:
            continue
        instruction, arguments = line.split(maxsplit=1)
        if instruction == "FROM":
            found.append(Stage(arguments.partition(" AS ")[2] or "final"))
        found[-1].steps.append((instruction, arguments.strip()))
    return found


def pairs(arguments: str) -> dict[str, str]:
    """What an ENV sets."""
    return dict(word.split("=", 1) for word in shlex.split(arguments))


def tracked() -> list[str]:
    """What git has or would take, as a clean copy of the tree has it."""
    return said("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()


def ignored(path: str) -> bool:
    """As BuildKit judges a path or one of its parents, for the patterns that we use: the last that matches decides."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    verdict = False
    parts = path.split("/")
    parents = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    for line in (line for line in lines if line and not line.startswith("#")):
        pattern = line.removeprefix("!").removeprefix("**/")
        tried = parents if not line.startswith("**/") else [*parents, *parts]
        if any(fnmatch(one, pattern) and one.count("/") == pattern.count("/") for one in tried):
            verdict = not line.startswith("!")
    return verdict
