"""Things that exist, by the names under which documents speak of them: so that not every request is a 404.

A blocking client of its own: schemathesis calls its hooks between two requests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

_MADE_OF = 12  # requests; then others are made, because some were deleted or archived
_WAIT = 40  # seconds for one answer


@dataclass(slots=True)
class Things:
    """What one account has: new ones again and again, in the states that a thread can be in."""

    url: str
    token: str
    agents: Mapping[str, str]  # ids by name
    known: dict[str, Any] = field(default_factory=dict)
    asked: int = 0

    def at_hand(self) -> dict[str, Any]:
        """Ids by the documents' names."""
        if self.asked % _MADE_OF == 0:
            kinds: tuple[Callable[[], dict[str, Any]], ...] = (self._answered, self._asking, self._working, self._empty)
            self.known = kinds[self.asked // _MADE_OF % len(kinds)]()
        self.asked += 1
        return self.known

    def _answered(self) -> dict[str, Any]:
        """A run that is over."""
        return self._thread("echo", "hello there")

    def _asking(self) -> dict[str, Any]:
        """A run that waits for a decision."""
        found = self._thread("approve", "hello there")
        run = self._call("GET", f"/v1/threads/{found['threadId']}/runs/{found['runId']}").json()
        (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        return found | {"request": call["id"]}

    def _working(self) -> dict[str, Any]:
        """A run that is under way, for a second."""
        return self._thread("echo", "/slow 1", stream=True)

    def _empty(self) -> dict[str, Any]:
        return self._new("echo")

    def _thread(self, agent: str, text: str, *, stream: bool = False) -> dict[str, Any]:
        """A thread with a run, which went as far as it goes; with `stream` it has only begun."""
        made = self._new(agent)
        messages = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        body = {"stream": stream, "thread_id": made["id"], "messages": messages}
        with self._call("POST", f"/api/v2/databases/a/schemas/b/agents/{agent}:run", body, stream=stream) as answer:
            if not stream:
                made["parent_message_id"] = answer.json()["metadata"]["assistant_message_id"]
        runs = self._call("GET", f"/v1/threads/{made['threadId']}/runs").json()
        said = self._call("GET", f"/v1/threads/{made['threadId']}/messages").json()
        return made | {"runId": runs["first_id"], "messageId": said["first_id"]}

    def _new(self, agent: str) -> dict[str, Any]:
        """An empty thread, and a file that nothing has taken yet."""
        made = self._call("POST", "/api/v2/cortex/threads", {"origin_application": "documents"})
        known = {"threadId": made.headers["X-Threadmill-Thread-Id"], "id": int(made.json())}
        form = {"file": ("notes.txt", b"hello", "text/plain")}
        file = self._call("POST", f"/api/v1/agents/{self.agents[agent]}/files", files=form).json()["file"]["id"]
        return known | {"agentId": self.agents[agent], "name": agent, "fileId": file}

    def _call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(method, self.url + path, json=body, headers=headers, timeout=_WAIT, **options)
        answer.raise_for_status()
        return answer
