"""Things that exist, by the names under which documents speak of them: so that not every request is a 404.

A blocking client of its own: schemathesis calls its hooks between two requests.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

_MADE_OF = 12  # requests; then others are made, because some were deleted or archived
_OWN = 4  # requests of an operation; then one gets things of its own, made for it
_WAIT = 40  # seconds for one answer


@dataclass(slots=True)
class Things:
    """What one account has: new ones again and again, in the states that a thread can be in."""

    url: str
    token: str
    agents: Mapping[str, str]  # ids by name
    known: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    fits: bool = False  # whether what is at hand was made for this one request, and is to be used as it is
    _turns: Counter[tuple[str, str]] = field(default_factory=Counter)

    def at_hand(self, method: str, path: str) -> dict[str, Any]:
        """Ids by the documents' names. Every fourth request of an operation gets a thread of its own, in the state in
        which it can do something.
        """
        fitting = (make for (verb, end), make in self._fitting().items() if method == verb and path.endswith(end))
        make = next(fitting, self._answered if "{runId}" in path or "{messageId}" in path else self._empty)
        self.fits = self._turns[method, path] % _OWN == 0
        self._turns[method, path] += 1
        if self.fits:
            return make()
        if self.asked % _MADE_OF == 0:
            kinds: tuple[Callable[[], dict[str, Any]], ...] = (self._answered, self._asking, self._working, self._empty)
            self.known = kinds[self.asked // _MADE_OF % len(kinds)]()
        self.asked += 1
        return self.known

    def _fitting(self) -> Mapping[tuple[str, str], Callable[[], dict[str, Any]]]:
        return {
            ("PATCH", "/runs/{runId}"): self._queued,
            ("DELETE", "/threads/{threadId}/files/{fileId}"): self._attached,
            ("DELETE", "/messages/{messageId}"): self._answered,
            ("POST", "/submit_tool_outputs"): self._asking,
            ("POST", "/cancel"): self._working,
        }

    def _queued(self) -> dict[str, Any]:
        """A run behind one that is under way."""
        found = self._working()
        return found | {"runId": self._said(found, {})["run"]["id"]}

    def _attached(self) -> dict[str, Any]:
        """A file that belongs to its thread."""
        found = self._new("echo")
        self._said(found, {"attachmentIds": [found["fileId"]]})
        return found

    def _said(self, found: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
        """What came of one more message."""
        event = {"type": "user_message", "text": "and this", **more}
        answer = self._call("POST", f"/api/v1/threads/{found['threadId']}/events", {"events": [event]})
        result: dict[str, Any] = answer.json()["events"][0]
        return result

    def _answered(self) -> dict[str, Any]:
        """A run that is over."""
        return self._thread("echo", "hello there")

    def _asking(self) -> dict[str, Any]:
        """A run that waits for a decision."""
        found = self._thread("approve", "hello there")
        run = self._call("GET", f"/v1/threads/{found['threadId']}/runs/{found['runId']}").json()
        (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        return found | {"request": call["id"], "output": "allow"}

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
