"""Every key and channel in Redis, on one page. All of it is a queue or a notice: losing it loses nothing.

arq:queue                     ZSET   wake-ups of role `apply`: job id -> 1           (arq's own)
arq:queue:execute             ZSET   wake-ups of role `execute`                      (arq's own)
arq:job:<id>                  string the job, JSON                                   (arq's own)
arq:in-progress:<id>          string set while a worker has the job                  (arq's own)
threadmill:waiting:<p>        ZSET   batch id -> accepted at, ms, of one partition
threadmill:rung:<p>           string set while a wake-up for the partition is waiting
threadmill:wake:<role>        list   one element a worker to wake
threadmill:worker:<id>        string a live worker, JSON, with a time to live
threadmill:rate:token:<id>    string a token's bucket: when it is full again, µs; gone once it is
threadmill:rate:account:<id>  string the same of an account
threadmill:limited            ZSET   who a limit refused, `<kind> <account> <token>` -> last time, ms
threadmill:limited:counts     HASH   the same -> how often
threadmill:outcomes:<api>     channel of one api process: outcomes it waits for
threadmill:thread:<id>        channel: the thread has something new
threadmill:nudges             channel: threads whose executing run has news (interrupted, steered)
threadmill:control            channel: workers of whom an operator asks something (to be quiet, to leave, to work)
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    prefix: str = ""

    def queue(self, role: str) -> str:
        return f"{self.prefix}arq:queue" if role == "apply" else f"{self.prefix}arq:queue:{role}"

    def waiting(self, partition: int) -> str:
        return f"{self.prefix}threadmill:waiting:{partition}"

    def rung(self, partition: int) -> str:
        return f"{self.prefix}threadmill:rung:{partition}"

    @property
    def rung_prefix(self) -> str:
        return f"{self.prefix}threadmill:rung:"

    def wake(self, role: str) -> str:
        return f"{self.prefix}threadmill:wake:{role}"

    def worker(self, worker: str) -> str:
        return f"{self.prefix}threadmill:worker:{worker}"

    def token_rate(self, token: str) -> str:
        return f"{self.prefix}threadmill:rate:token:{token}"

    def account_rate(self, account: str) -> str:
        return f"{self.prefix}threadmill:rate:account:{account}"

    @property
    def limited(self) -> str:
        return f"{self.prefix}threadmill:limited"

    @property
    def limited_counts(self) -> str:
        return f"{self.prefix}threadmill:limited:counts"

    def outcomes(self, api: str) -> str:
        return f"{self.prefix}threadmill:outcomes:{api}"

    def thread(self, thread: str) -> str:
        return f"{self.prefix}threadmill:thread:{thread}"

    @property
    def nudges(self) -> str:
        return f"{self.prefix}threadmill:nudges"

    @property
    def control(self) -> str:
        return f"{self.prefix}threadmill:control"
