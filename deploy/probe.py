"""`python -m deploy.probe [path]`: asks the service of this container for its health; 0 where it answers 200, else 1.

For images without curl, each few seconds: so it takes nothing but the standard library, and no settings class. It asks
the api's port and then the worker's; in a container one of them listens. Refused here: asking another machine.
"""

import http.client
import os
import sys

_HOST = "127.0.0.1"
_TIMEOUT = 2.0  # seconds; the health is answered without Postgres or Redis
_PORTS = (("THREADMILL_PORT", 8080), ("THREADMILL_WORKER_PORT", 9080))


def status(port: int, path: str) -> int | None:
    """The status of one answer; None where nobody listens, or no HTTP is spoken."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    """`path` is `/healthz` unless it is given; `/readyz` asks whether it can do its work."""
    path = arguments[0] if arguments else "/healthz"
    ports = (int(os.environ.get(name) or usual) for name, usual in _PORTS)
    answers = (found for port in ports if (found := status(port, path)) is not None)
    return 0 if next(answers, None) == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
