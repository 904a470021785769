"""What Cortex threads offer, as a table."""

from api.dialects.cortex import answers, models
from api.dialects.operations import DESCRIPTION, KEY, WAIT, Answer, Choice, Operation, Sent, query

_THREADS, _THREAD = "/cortex/threads", "/cortex/threads/{id}"
_AGENT = "/databases/{database}/schemas/{schema}/agents/{name}:run"
_MOST = 10**models.DIGITS - 1  # what may be written as a number
_REPLAYED = ("Idempotency-Replayed",)
_NAMED = ("X-Threadmill-Thread-Id",)
_TAKES_NONE = "The thread is archived, or held by a dead letter."
_NOT_RUN = (
    f"A run is active. {_TAKES_NONE} The permission is settled. The agent is not published. The run failed, expired or "
    "was cancelled, where the answer is not streamed."
)

_OF_THREADS = (
    Operation(
        *("post", _THREADS, "Threads", "Create a thread"),
        (
            Answer(
                "200",
                "The new thread, in the shape that `THREADMILL_CORTEX_SHAPES` chooses.",
                choices=(
                    Choice("documented", "Its id in digits, as a JSON string. The default.", answers.ThreadDigits),
                    Choice("live", "All that is known of it.", answers.Metadata),
                ),
                headers=_REPLAYED + _NAMED,
            ),
        ),
        models.CreateThread,
        (KEY, WAIT),
        example={"origin_application": "my_app"},
        body_required=False,
    ),
    Operation(
        *("get", _THREADS, "Threads", "List the threads of the account, newest updated first"),
        (Answer("200", "All of them; of more than 10,000 the newest.", list[answers.Metadata]),),
        parameters=(
            query(
                "origin_application",
                "Only those of this application: at most 16 bytes of UTF-8.",
                type="string",
                maxLength=models.APPLICATION_LIMIT,
            ),
        ),
        query="?origin_application=my_app",
    ),
    Operation(
        *("get", _THREAD, "Threads", "Describe a thread, with a page of its messages"),
        (Answer("200", "The thread and its messages, newest first.", answers.ThreadPage, headers=_NAMED),),
        parameters=(
            query(
                "page_size",
                "At most so many messages; fewer where they are 4 MiB: only an empty page is the end.",
                type="integer",
                minimum=1,
                maximum=100,
                default=20,
            ),
            query(
                "last_message_id",
                "The oldest message received so far: older ones follow. A number, whether or not a message has it.",
                type="integer",
                minimum=0,
                maximum=_MOST,
            ),
        ),
        query="?page_size=20",
    ),
    Operation(
        *("post", _THREAD, "Threads", "Update a thread's name"),
        (Answer("200", "Updated.", answers.Updated, headers=_REPLAYED),),
        models.UpdateThread,
        (KEY, WAIT),
        conflict=_TAKES_NONE,
        example={"thread_name": "Plants"},
        body_required=False,
    ),
    Operation(
        *("delete", _THREAD, "Threads", "Delete a thread"),
        (Answer("200", "Deleted.", answers.Deleted, headers=_REPLAYED),),
        parameters=(KEY, WAIT),
        says="In every dialect. A second time it is 404.",
    ),
)

_ANSWERED = (
    Answer(
        "200",
        "The answer: as it comes, or with `stream` false as JSON, once it is there. In silence a stream has a comment "
        "every 15 s.",
        answers.AgentAnswer,
        events=(
            Sent("metadata", answers.MessageKept, "Which message was taken; near the end, which was made."),
            Sent("response.status", answers.StatusTold, "What the run does."),
            Sent("response.text.delta", answers.TextTold, "The next piece of a message."),
            Sent("response.text", answers.TextTold, "A message, whole."),
            Sent("response", answers.AgentAnswer, "The whole answer: the last event."),
            Sent("error", answers.Error, "There is no answer, and this is why: the last event."),
        ),
        headers=_REPLAYED + _NAMED,
    ),
)
_THREAD_ID = query("thread_id", "As in the body, which goes before it.", type="integer", minimum=0, maximum=_MOST)
_QUESTION = {"role": "user", "content": [{"type": "text", "text": "Hello there"}]}
_RUN = (
    "Without `thread_id` a thread is made. `parent_message_id` 0 begins anew, an assistant's message goes on from "
    "there; left out, it goes on from the latest one. A client that goes away does not stop the run."
)

_OF_RUNS = (
    Operation(
        *("post", "/cortex/agent:run", "Agents", "Ask the account's default agent, or the thread's own"),
        _ANSWERED,
        models.RunAgent,
        (_THREAD_ID, KEY),
        _RUN,
        _NOT_RUN,
        {"thread_id": "$THREAD", "parent_message_id": 0, "messages": [_QUESTION]},
    ),
    Operation(
        *("post", _AGENT, "Agents", "Ask an agent by its name"),
        _ANSWERED,
        models.RunAgent,
        (_THREAD_ID, KEY),
        f"{_RUN} Any database and any schema will do.",
        _NOT_RUN,
        {"stream": False, "messages": [_QUESTION]},
    ),
)

OPERATIONS = (
    *_OF_THREADS,
    *_OF_RUNS,
    Operation("get", "/openapi.json", "This document", "Read this document", (DESCRIPTION,), token=False),
)
