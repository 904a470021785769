"""What is counted of a file while it is written: how long it is, and its SHA-256."""

import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Digest:
    size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        """Holds no lock of the interpreter while it works: for a thread."""
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> bytes:
        found: bytes = self._hash.digest()
        return found


class Digesting:
    """What both sinks know of the bytes that went through them."""

    def __init__(self) -> None:
        self._digest = Digest()

    @property
    def size(self) -> int:
        return self._digest.size

    @property
    def sha256(self) -> bytes:
        return self._digest.sha256
