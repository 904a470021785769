"""What the AIML / OpenAI dialect offers of threads and messages, as a table. Messages have two addresses."""

from api.dialects.openai import answers, models
from api.dialects.operations import KEY, WAIT, Answer, Choice, Operation, Schema, header, limit, query
from shared.ids import PATTERN

ID: Schema = {"type": "string", "pattern": PATTERN}
REPLAYED = ("Idempotency-Replayed",)
TAKES_NONE = "The thread is archived, or held by a dead letter."
PAGE = (
    limit(100, 20),
    query("order", "By when they came.", type="string", enum=["asc", "desc"], default="desc"),
    query("after", "The page begins behind this one.", **ID),
    query("before", "The page ends just before this one, in the list's order.", **ID),
)

_THREAD = "/v1/threads/{threadId}"
_RUN_FILTER = query("run_id", "Only what this run said.", **ID)
_BETA = header(
    "OpenAI-Beta",
    "Any value: the answer has OpenAI's form, with 200 instead of 201, and a list as an object. OpenAI's clients send "
    "`assistants=v2`.",
)
_MERGED = "Sets what it names and keeps the rest; null or an empty text removes."


def _messages(path: str, title: str) -> tuple[Operation, ...]:
    """`path` of all of them; the one under `/v1` has one form only."""
    official = path.startswith("/v1/")
    beta = () if official else (_BETA,)
    message = f"{path}/{{messageId}}"
    return (
        Operation(
            *("get", path, title, "List the messages of a thread"),
            (_listed(official),),
            parameters=(*PAGE, _RUN_FILTER, *beta),
            query="?limit=20&order=desc",
        ),
        Operation(
            *("post", path, title, "Add a message to a thread"),
            _created(official),
            models.Message,
            (KEY, WAIT, *beta),
            "It is added in its turn, and starts nothing: a run answers it. It is `in_progress` where that takes long.",
            TAKES_NONE,
            {"role": "user", "content": "Hello"},
        ),
        Operation(
            *("get", message, title, "Read a message"),
            (Answer("200", "The message.", answers.ThreadMessage),),
        ),
        Operation(
            *("post", message, title, "Change the metadata of a message"),
            (Answer("200", "The message as it is now.", answers.ThreadMessage, headers=REPLAYED),),
            models.Edit,
            (KEY, WAIT),
            _MERGED,
            TAKES_NONE,
            {"metadata": {"read": "yes"}},
        ),
        Operation(
            *("delete", message, title, "Remove a message"),
            (Answer("200", "Removed.", answers.DeletedMessage, headers=REPLAYED),),
            parameters=(KEY, WAIT),
            conflict=TAKES_NONE,
        ),
    )


def _listed(official: bool) -> Answer:
    if official:
        return Answer("200", "A page.", answers.MessageList)
    forms = (
        Choice("AIML", "The bare array.", list[answers.ThreadMessage]),
        Choice("OpenAI", "With `OpenAI-Beta`: an object.", answers.MessageList),
    )
    return Answer("200", "A page, in the form that is spoken.", choices=forms)


def _created(official: bool) -> tuple[Answer, ...]:
    with_header = Answer("200", "With `OpenAI-Beta`: the message.", answers.ThreadMessage, headers=REPLAYED)
    if official:
        return (Answer("200", "The message.", answers.ThreadMessage, headers=REPLAYED),)
    return Answer("201", "The message.", answers.ThreadMessage, headers=REPLAYED), with_header


OF_THREADS = (
    Operation(
        *("post", "/v1/threads", "Threads", "Create a thread"),
        (Answer("200", "The thread.", answers.Thread, headers=REPLAYED),),
        models.NewThread,
        (KEY, WAIT),
        "Its first run gives it its agent.",
        example={"messages": [{"role": "user", "content": "Hello"}], "metadata": {"topic": "plants"}},
        body_required=False,
    ),
    Operation(
        *("get", _THREAD, "Threads", "Read a thread"),
        (Answer("200", "The thread.", answers.Thread),),
    ),
    Operation(
        *("post", _THREAD, "Threads", "Change the metadata of a thread"),
        (Answer("200", "The thread as it is now.", answers.Thread, headers=REPLAYED),),
        models.Edit,
        (KEY, WAIT),
        _MERGED,
        TAKES_NONE,
        {"metadata": {"topic": "herbs"}},
    ),
    Operation(
        *("delete", _THREAD, "Threads", "Delete a thread"),
        (Answer("200", "Deleted.", answers.DeletedThread, headers=REPLAYED),),
        parameters=(KEY, WAIT),
        says="In every dialect. A second time it is 404.",
    ),
)
OF_MESSAGES = _messages(f"{_THREAD}/messages", "Messages")
OF_AIML = _messages("/threads/{threadId}/messages", "Messages, AIML's form")
