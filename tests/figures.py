"""What this process measures, as a scrape of it has it."""

from prometheus_client import REGISTRY

import shared.metrics  # noqa: F401 - registers what is measured


def figure(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def served() -> set[str]:
    """The names of samples, as a scrape has them, also of series that are not there yet."""
    found = {"up"}  # of the scrape itself
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    for family in REGISTRY.collect():
        found |= {family.name + end for end in ends.get(family.type, ("",))}
    return found
