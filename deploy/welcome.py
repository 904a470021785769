"""What `threadmill dev` says once it is ready: a JSON line for programs, or a page with a `curl` to paste."""

import shlex
import sys
from pathlib import Path
from typing import Any

from deploy.devfile import DevFile
from deploy.services import Service
from deploy.supervisor import Child

_CURL = """\
  URL={url}
  TOKEN={token}

  THREAD=$(curl -sS $URL/api/v1/agents/{agent}/threads \\
      -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
      -d '{{"input":{{"type":"user.message","content":[{{"type":"text","text":"Hello"}}]}}}}' \\
      | tee /dev/stderr | grep -o '/api/v1/threads/[0-9A-Z]*' | head -n 1); echo

  curl -sSN "$URL$THREAD/events/stream?until=run" -H "Authorization: Bearer $TOKEN"

  curl -sS $URL$THREAD/events \\
      -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H "Idempotency-Key: $THREAD/1" \\
      -d '{{"events":[{{"type":"user_message","text":"And what then?"}}]}}'; echo

  curl -sSN "$URL$THREAD/events/stream?until=run" -H "Authorization: Bearer $TOKEN"

  curl -sS $URL$THREAD/events -H "Authorization: Bearer $TOKEN"; echo
"""


def pids(
    apis: list[Service], workers: list[Service], postgres: Child | None, redis: Child | None
) -> dict[str, list[int] | int | None]:
    """Of all that was started; null for a server that is not ours."""
    return {
        "api": [service.child.pid for service in apis],
        "worker": [service.child.pid for service in workers],
        "postgres": postgres.pid if postgres else None,
        "redis": redis.pid if redis else None,
    }


def document(kept: DevFile, pids: dict[str, Any]) -> dict[str, Any]:
    """What the JSON line holds."""
    return {
        "url": kept.url,
        "token": kept.token,
        "admin_token": kept.admin_token,
        "agents": kept.agents,
        "database_url": kept.database_url,
        "redis_url": kept.redis_url,
        "pids": pids,
    }


def page(kept: DevFile, data: Path) -> str:
    agents = "   ".join(f"{name} {id_}" for name, id_ in kept.agents.items())
    return "\n".join(
        [
            f"Threadmill listens on {kept.url} (Ctrl-C ends it)",
            "",
            f"  agents    {agents}",
            f"  Postgres  psql '{kept.database_url}'",
            f"  Redis     redis-cli -u '{kept.redis_url}'",
            f"  console   {kept.url}/console, the operator's; log in with {kept.admin_token}",
            f"  reference {kept.url}/docs",
            f"  queue     {_threadmill()} queue status --data {shlex.quote(str(data))}",
            f"  kept in   {data}/dev.json",
            "",
            "Paste this into another terminal: a thread, a batch of two events, and what the thread holds then.",
            "",
            _CURL.format(url=kept.url, token=kept.token, agent=kept.agents["echo"]),
        ]
    )


def _threadmill() -> str:
    """The command line that runs here, by its path: the shell that it is pasted into need not find it by its name."""
    here, now = Path(sys.executable).with_name("threadmill"), Path.cwd()
    if not here.exists():
        return "threadmill"
    return shlex.quote(str(here.relative_to(now) if here.is_relative_to(now) else here))
