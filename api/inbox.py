"""The way in: accept a batch, ring for it, wait for its outcome. (interface; body follows)"""

from api.submission import Answer, Submission


class Inbox:
    async def submit(self, submission: Submission, wait: float) -> Answer:
        """Accepts, rings, and waits at most `wait` seconds for the outcome (0: not at all).

        Raises ServiceInactive where Postgres is away or the backlog is over its limit.
        """
        raise RuntimeError(submission)
