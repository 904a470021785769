"""Certificates of one's own, by Debian's openssl."""

import asyncio
import shutil
from pathlib import Path

OPENSSL = shutil.which("openssl")


async def make_certificate(directory: Path) -> Path:
    """For 127.0.0.1, and its own authority: only those trust it who are told to. Its key stands beside it."""
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    names = ("-keyout", str(directory / "key.pem"), "-out", str(directory / "ca.pem"))
    words = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", *names)
    process = await asyncio.create_subprocess_exec(
        *(str(OPENSSL), *words, "-addext", "subjectAltName=IP:127.0.0.1"), stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    return directory / "ca.pem"
