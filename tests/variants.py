"""Of a slow test's variants `.ci/run` takes one, and `make test-slow` all."""

from typing import Any

import pytest


def one_of(first: Any, *others: Any) -> list[Any]:
    """Values of a parameter: the first one always, the others where there is time for what is `long`."""
    return [first, *(pytest.param(other, marks=pytest.mark.long) for other in others)]
