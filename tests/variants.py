"""Of a slow test's variants `.ci/run` takes one, and `make test-slow` all."""

from typing import Any

import pytest


def one_of(first: Any, *others: Any) -> list[Any]:
    """Values of a parameter (tuples: of several): the first one always, the others where there is time for what is
    `long`.
    """
    whole = (other if isinstance(other, tuple) else (other,) for other in others)
    return [first, *(pytest.param(*values, marks=pytest.mark.long) for values in whole)]
