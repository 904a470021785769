"""What Mosoo v1 offers, as a table."""

from api.dialects.mosoo import answers, models
from api.dialects.operations import DESCRIPTION, KEY, WAIT, Answer, Operation, Schema, Sent, header, limit, query
from shared.ids import PATTERN

ID: Schema = {"type": "string", "pattern": PATTERN}

_THREADS = "/agents/{agentId}/threads"
_THREAD = "/threads/{threadId}"
_RUN = f"{_THREAD}/runs/{{runId}}"
_HELD = "The thread is held by a dead letter."
_FILES = (
    f"At most {models.FILES_LIMIT} files, uploaded with the same token to the same agent, each attached once; where "
    "one can't be, it is 400 and nothing happens."
)
_TAKES_NONE = "The thread is archived, or held by a dead letter."


def _page(most: int, entries: str) -> tuple[Schema, Schema]:
    return limit(most, 100), query("after", f"The page begins behind the {entries} of this id.", **ID)


_DONE = Answer("200", "Done; `warnings` where it is accepted and not applied yet.", answers.Done)
_LAST_EVENT_ID = header(
    "Last-Event-ID",
    "The stream begins behind the event of this id; it goes before `after`. Empty is as if it were not there.",
    pattern=f"^({PATTERN[1:-1]})?$",
)
_UNTIL = query(
    "until",
    "`run`: the stream ends with the run that is under way, or at once where none is.",
    type="string",
    enum=["run"],
)
_ARCHIVED = query("archived", "Those that are archived, or those that are not.", type="boolean", default=False)

_OF_THREADS = (
    Operation(
        *("post", _THREADS, "Threads", "Create a thread"),
        (Answer("201", "The thread, and its first run.", answers.CreatedThread, headers=("Idempotency-Replayed",)),),
        models.CreateThread,
        (KEY, WAIT),
        f"With `input` the agent begins to work; without it the thread is idle, and has no run. {_FILES}",
        "The agent takes no new threads.",
        {"input": {"type": "user.message", "content": [{"type": "text", "text": "Hello"}]}},
    ),
    Operation(
        *("get", _THREADS, "Threads", "List the threads of an agent, newest updated first"),
        (Answer("200", "A page; `truncated` where there are more.", answers.Threads),),
        parameters=(_ARCHIVED, *_page(100, "thread")),
        query="?limit=10",
    ),
    Operation(
        *("get", _THREAD, "Threads", "Read a thread and its last run"),
        (Answer("200", "The thread; `run` is null where it had none yet.", answers.ThreadWithRun),),
    ),
    Operation(
        *("post", f"{_THREAD}/archive", "Threads", "Archive a thread"),
        (_DONE,),
        parameters=(WAIT,),
        says="It takes no events from then on. Twice is fine.",
        conflict=_HELD,
    ),
    Operation(
        *("post", f"{_THREAD}/unarchive", "Threads", "Take a thread out of the archive"),
        (_DONE,),
        parameters=(WAIT,),
        conflict=_HELD,
    ),
    Operation(
        *("delete", _THREAD, "Threads", "Delete a thread"),
        (_DONE,),
        parameters=(WAIT,),
        says="In every dialect. A second time it is 404.",
    ),
)

_OF_EVENTS = (
    Operation(
        *("post", f"{_THREAD}/events", "Events", "Send a batch of events"),
        (
            Answer(
                "200",
                "What each event came to, in the order sent, and the thread after all of them.",
                answers.SentEvents,
                headers=("Idempotency-Replayed",),
            ),
        ),
        models.SendEvents,
        (KEY, WAIT),
        f"Applied in order, all of it or none. What an event can't do is no error: it is told in `warnings`. {_FILES}",
        _TAKES_NONE,
        {"events": [{"type": "user_message", "text": "Hello again"}]},
    ),
    Operation(
        *("get", f"{_THREAD}/events", "Events", "Read the log of a thread"),
        (Answer("200", "A page, oldest first: without `after` the newest entries.", answers.Events),),
        parameters=_page(1000, "event"),
        query="?limit=50",
    ),
    Operation(
        *("get", f"{_THREAD}/events/stream", "Events", "Follow the log of a thread, as server-sent events"),
        (
            Answer(
                "200",
                "The newest `limit` entries, or those behind a cursor; then what comes, until the client goes away. "
                "`id` of each is its cursor. In silence there is a comment every 15 s.",
                events=(
                    Sent("thread.event", answers.Event, "An entry of the log."),
                    Sent("thread.error", answers.Error, "The stream can't go on, and ends."),
                ),
            ),
        ),
        parameters=(*_page(1000, "event"), _UNTIL, _LAST_EVENT_ID),
        query="?until=run",
    ),
)

_OF_RUNS = (
    Operation(
        *("get", f"{_THREAD}/runs", "Runs", "List the runs of a thread, newest first"),
        (Answer("200", "A page; `truncated` where there are more.", answers.Runs),),
        parameters=_page(1000, "run"),
        query="?limit=10",
    ),
    Operation(
        *("get", _RUN, "Runs", "Read a run"),
        (Answer("200", "The run, with its place in the queue.", answers.QueuedRun),),
    ),
    Operation(
        *("patch", _RUN, "Runs", "Edit the text of a queued run"),
        (Answer("200", "The run.", answers.EditedRun),),
        models.EditRun,
        (WAIT,),
        conflict=f"The run has started. {_TAKES_NONE}",
        example={"text": "Better words"},
    ),
)

_FILE = "/files/{fileId}"
_NO_LONGER = Answer("200", "It is gone.", answers.Done)
_DISPOSITION = query(
    "disposition",
    "`inline`: to be shown in place, where its type can't act; texts are shown as plain text, all else is saved.",
    type="string",
    enum=["attachment", "inline"],
    default="attachment",
)
_RANGE = header("Range", "`bytes=0-99`, `bytes=100-` or `bytes=-100`: one piece of it (RFC 9110).")
_OF_FILES = (
    Operation(
        *("post", "/agents/{agentId}/files", "Files", "Upload a file"),
        (Answer("201", "The file: a draft, until a thread or a message takes it.", answers.OneFile),),
        says="One form field, `file`, with a file name. A draft that nothing takes is removed after 24 hours. "
        "A service token may not upload.",
        upload=True,
    ),
    Operation(
        *("get", _FILE, "Files", "Read what a file is"),
        (Answer("200", "The file.", answers.OneFile),),
    ),
    Operation(
        *("delete", _FILE, "Files", "Delete a file"),
        (_NO_LONGER,),
        says="A second time it is 404.",
    ),
    Operation(
        *("get", f"{_FILE}/content", "Files", "Read the bytes of a file"),
        (
            Answer("200", "All of them. `ETag` holds their SHA-256.", bytes=True),
            Answer("206", "The piece that `Range` names.", bytes=True),
            Answer("416", "`Range` names none of its bytes: no body."),
        ),
        parameters=(_DISPOSITION, _RANGE),
        query="?disposition=attachment",
    ),
    Operation(
        *("get", f"{_THREAD}/files", "Files", "List the files of a thread, oldest first"),
        (Answer("200", "A page; `truncated` where there are more.", answers.Files),),
        parameters=_page(100, "file"),
        query="?limit=10",
    ),
    Operation(
        *("delete", f"{_THREAD}/files/{{fileId}}", "Files", "Delete a file of a thread"),
        (_NO_LONGER,),
    ),
)

OPERATIONS = (
    *_OF_THREADS,
    *_OF_EVENTS,
    *_OF_RUNS,
    *_OF_FILES,
    Operation("get", "/openapi.json", "This document", "Read this document", (DESCRIPTION,), token=False),
)
