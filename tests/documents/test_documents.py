"""The short form of `make test-api`: some requests of every operation of all documents."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_answers_to_made_up_requests_are_as_the_documents_say() -> None:
    few = ("--phases", "examples,fuzzing", "--examples", "5", "--cases", "200")
    command = (sys.executable, "-m", "tests.documents", *few)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
