"""The end of a thread's log as one stream gets it: read from the log while it is behind, then live, at its own pace.

Refused here: spelling events, and sending anything.
"""

from collections.abc import AsyncGenerator, Sequence

from api.postgres import Postgres
from api.sse import PIECE
from api.streams import Stream
from shared import stream as logs
from shared.effects import EventLogged
from shared.errors import NotFound

# Of one read of the log: a message of thousands of deltas is one entry, and what is kept while a slow client takes it
# stays small.
_ROWS, _SIZE = 5_000, 128 << 10


async def pieces(stream: Stream, postgres: Postgres) -> AsyncGenerator[Sequence[EventLogged]]:
    """What the thread logs, in order, until the stream is stopped or ended; an empty piece where it is time to say that
    it lives. Raises NotFound, ServiceInactive.
    """
    while not stream.stopped:
        stream.settle()
        if stream.behind:
            if piece := await replay(stream, postgres):
                stream.cursor, stream.spoke_at = piece[-1].id, stream.now()
                yield piece
        elif frames := stream.take(PIECE):
            stream.cursor, stream.spoke_at = frames[-1].id, stream.now()
            yield [frame.event for frame in frames]
        elif stream.ended:
            return
        elif stream.take_silence():
            stream.spoke_at = stream.now()
            yield ()
        else:
            await stream.wait()


async def replay(stream: Stream, postgres: Postgres) -> Sequence[EventLogged]:
    """The next piece of the log behind the stream's cursor, read for it alone; none where it has caught up. Raises
    NotFound, where the thread is deleted and nothing is left to be told; ServiceInactive.
    """
    place = logs.Place(stream.partition, stream.thread, stream.cursor)
    piece = (await logs.behind(postgres, [place], _ROWS, _SIZE)).get(stream.thread)
    if piece is not None and piece.events:
        return list(logs.folded(piece.events))
    if piece is not None and piece.deleted:
        raise NotFound("The thread was deleted.")
    stream.catch_up()
    return ()
