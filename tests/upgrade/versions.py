"""Versions of the service as sources in a directory: an older one from the history, and one that is still to come."""

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from shared.db.migrate import migrations
from tests.faults.processes import ROOT

# The last commit whose schema is an older one, 25: without files, and with other drains. It never changes.
OLDER = "f21b0f3"
PACKAGES = ("api", "worker", "shared", "deploy")
_CLI = "import sys; from deploy.cli import main; sys.exit(main())"
# What migrations of a version to come may do: they add, and what is there stays as it is (docs/upgrading.md).
_NEXT = """-- Works with: {known}
create table next_things (id uuid primary key, thread uuid not null, said text);
alter table batches add column next_word text;
alter table threads add column next_word text;
alter table runs add column next_count integer not null default 0;
"""
_INDEX = """-- Works with: {known}
-- Outside of a transaction
create index concurrently next_words on batches (partition, next_word) where next_word is not null;
"""


class NotInHistoryError(Exception):
    """This clone does not have the older version: it is shallow, or no clone."""


@dataclass(frozen=True, slots=True)
class Version:
    name: str
    root: Path

    def threadmill(self, database_url: str, *arguments: str) -> str:
        """What its command line prints; raises CalledProcessError where it fails."""
        env = {**os.environ, "DATABASE_URL": database_url, "PYTHONPATH": str(self.root), "PYTHONSAFEPATH": "1"}
        argv = (sys.executable, "-c", _CLI, *arguments)
        return subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout

    @property
    def schema(self) -> int:
        """The last migration that it knows."""
        return max(int(file.name[:4]) for file in (self.root / "shared/db/migrations").glob("*.sql"))


def present() -> Version:
    return Version("present", ROOT)


def older(directory: Path) -> Version:
    """The older one, from the history. Raises NotInHistoryError."""
    argv = ("git", "-C", str(ROOT), "archive", "--format=tar", OLDER, *PACKAGES)
    try:
        archive = subprocess.run(argv, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotInHistoryError((NotInHistoryError.__doc__ or "").strip()) from error
    root = directory / "older"
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(root, filter="data")
    return Version("older", root)


def following(directory: Path) -> Version:
    """The present one with two migrations more."""
    root = directory / "following"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    known = migrations()[-1].version
    for number, (name, text) in enumerate((("next", _NEXT), ("next_words", _INDEX)), known + 1):
        file = root / "shared/db/migrations" / f"{number:04d}_{name}.sql"
        file.write_text(text.format(known=known), encoding="utf-8")
    return Version("following", root)
