"""The root of the command line: which commands there are, and that each is imported by itself."""

import subprocess
import sys
from importlib import import_module
from pkgutil import iter_modules

import pytest

from deploy import cli
from deploy import commands as package
from tests.commands import commands

LOADED = """
import sys
from deploy.cli import run
run(["queue", "--help"])
print(*(name for name in sys.modules if name.startswith("deploy.commands.")), file=sys.stderr)
"""


def test_each_module_with_an_app_is_a_command() -> None:
    modules = {found.name: import_module(f"deploy.commands.{found.name}") for found in iter_modules(package.__path__)}
    assert {name for name, module in modules.items() if hasattr(module, "app")} == set(commands())


def test_one_command_does_not_import_the_others() -> None:
    ended = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = {name.rpartition(".")[2] for name in ended.stderr.split()}
    assert loaded & set(commands()) == {"queue"}


def test_what_was_meant_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["quue"]) == 2
    assert capsys.readouterr().err == "threadmill: No such command 'quue'. Did you mean 'queue'?\n"
