"""`/metrics` as whoever asks can read it: OpenMetrics where it says so, else Prometheus' own text."""

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder


def exposition(accept: str) -> tuple[bytes, str]:
    """The figures of this process and their content type, for an `Accept` header (empty: none)."""
    encode, content_type = choose_encoder(accept)
    return encode(REGISTRY), content_type
