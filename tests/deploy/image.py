"""The image without Docker: each step of the Dockerfile over this machine's own Debian, in mounts that go with us.

`unshare --mount python -m tests.deploy.image DIRECTORY` builds it in memory below DIRECTORY, and then runs
`tests.deploy.tour` over it in a network of its own, whose report goes to standard output. The base image is what this
machine has: Debian with Python 3.11, and tini; `apt-get` is the one program that is not run. Needs root.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy import recipe
from tests.deploy.places import ROOT

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED = ("PIP_", "HTTP", "http", "NO_PROXY", "no_proxy", "SSL_")  # where packages come from is this machine's to say


class Building:
    """One stage: an overlay over this machine's root, whose changes stay in memory."""

    def __init__(self, directory: Path, stage: recipe.Stage, built: dict[str, Path]) -> None:
        self.stage = stage
        self.root = directory / stage.name / "root"
        self.environment = {"PATH": _SYSTEM_PATH} | {
            name: value for name, value in os.environ.items() if name.startswith(_PASSED)
        }
        self._built = built
        self._work = "/"
        upper, work = directory / stage.name / "upper", directory / stage.name / "work"
        for made in (upper, work, self.root):
            made.mkdir(parents=True)
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, self.root], check=True)
        for name in ("proc", "dev", "sys"):
            subprocess.run(["mount", "--rbind", f"/{name}", self.root / name], check=True)
        self._become_the_base()

    def _become_the_base(self) -> None:
        """Python as the official image has it; what this machine has beside it stays out of the way."""
        programs = self.root / "usr/local/bin"
        shutil.rmtree(programs)
        programs.mkdir()
        for name in ("python", "python3"):
            (programs / name).symlink_to("/usr/bin/python3.11")
        (self.root / "usr/local/sbin").mkdir(exist_ok=True)
        no_packages = self.root / "usr/local/sbin/apt-get"
        no_packages.write_text("#!/bin/sh\n", encoding="utf-8")
        no_packages.chmod(0o755)
        shutil.rmtree(self.root / "opt/threadmill", ignore_errors=True)

    def make(self) -> None:
        """Raises CalledProcessError where a step fails."""
        for instruction, arguments in self.stage.steps:
            if instruction == "RUN":
                self._run(arguments)
            elif instruction == "COPY":
                self._copy(arguments)
            elif instruction == "ENV":
                told = recipe.pairs(arguments)
                self.environment |= {name: value.replace("$PATH", _SYSTEM_PATH) for name, value in told.items()}
            elif instruction == "WORKDIR":
                self._work = arguments
                (self.root / arguments.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _run(self, command: str) -> None:
        shell = ("sh", "-ec", f"cd {self._work}; {command}")
        subprocess.run(["chroot", self.root, *shell], env=self.environment, stdout=sys.stderr, check=True)

    def _copy(self, arguments: str) -> None:
        *sources, target = arguments.split()
        if sources[0].startswith("--from="):
            origin = self._built[sources.pop(0).removeprefix("--from=")]
            for source in sources:
                subprocess.run(["cp", "--archive", f"{origin}{source}", f"{self.root}{target}"], check=True)
            return
        place = self.root / self._work.lstrip("/")
        for path in recipe.tracked():
            if recipe.ignored(path):
                continue
            for source in sources:
                if path == source:
                    shutil.copy(
                        ROOT / path, place / Path(target) / Path(path).name if target == "./" else place / target
                    )
                elif path.startswith(f"{source}/"):
                    copy = place / target / path.removeprefix(f"{source}/")
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / path, copy)


def main() -> None:
    directory = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)
    built: dict[str, Path] = {}
    for stage in recipe.stages():
        building = Building(directory, stage, built)
        building.make()
        built[stage.name] = building.root
    tour = ("unshare", "--net", sys.executable, "-m", "tests.deploy.tour", str(directory))
    subprocess.run(tour, check=True)


if __name__ == "__main__":
    main()
