"""How a runner says why it failed."""


class RunnerError(Exception):
    """Why a run failed, for its client to see: `code` as `[a-z_.]{1,64}`, a message of ours or of the author's, whether
    trying the same again may help. Any other exception fails the run as `runner.failed`, with its text in the log only.
    """

    def __init__(self, message: str, *, code: str = "runner.failed", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retryable = retryable
