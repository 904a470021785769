"""Numbers that are counted up to a bound, so that a backlog of millions costs what a backlog of thousands does."""

from dataclasses import dataclass

COUNTED = 1_000  # rows counted; more show as "1,000+"


@dataclass(frozen=True, slots=True)
class Count:
    """A number of rows, counted up to a bound. `at_least`: the bound was reached, there may be more."""

    value: int
    at_least: bool = False

    def __str__(self) -> str:
        return f"{self.value:,}{'+' if self.at_least else ''}"

    @property
    def some(self) -> bool:
        """Whether there is one, or may be."""
        return self.value > 0 or self.at_least

    def __add__(self, other: "Count") -> "Count":
        return Count(self.value + other.value, self.at_least or other.at_least)


def counted(rows: int, bound: int = COUNTED) -> Count:
    """Of rows that were read up to one more than `bound`."""
    return Count(min(rows, bound), rows > bound)
