"""A runner that reads the text files of its message and makes a table of their words, line by line as it is stored.

Try it without a server:  python -m worker.runners.conformance tally:run --file notes.txt
"""

import codecs
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing

from worker.runners import Context, File, MessageEnd, Output, RunnerError, TextDelta, ThreadFile

MOST = 1_000  # words of the table


async def run(ctx: Context) -> AsyncIterator[Output]:
    files = await ctx.files.attached(ctx.messages[-1].files)
    texts = [file for file in files if file.mime_type.startswith("text/")]
    if not texts:
        raise RunnerError("Attach a text file to your message.", code="tally.no_text")
    words: Counter[str] = Counter()
    for file in texts:
        yield TextDelta(f"Reading {file.name}, {file.size} bytes.\n")
        await count(file, words)
    yield File("words.csv", table(words))
    yield TextDelta(f"{words.total()} words, {len(words)} of them different: they stand in words.csv.")
    yield MessageEnd()


async def count(file: ThreadFile, words: Counter[str]) -> None:
    """Piece by piece: a file may be larger than the worker should hold."""
    decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    async with aclosing(file.open()) as pieces:
        async for piece in pieces:
            *whole, rest = f"{rest}{decoder.decode(piece)}|".split()
            words.update(whole)
            rest = rest.removesuffix("|")
    words.update([rest] if rest else [])


async def table(words: Counter[str]) -> AsyncIterator[bytes]:
    """The most frequent first, and those in the order of the alphabet: it is the same at each attempt."""
    yield b"word,times\n"
    for word, times in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:MOST]:
        yield f'"{word.replace(chr(34), chr(34) * 2)}",{times}\n'.encode()
