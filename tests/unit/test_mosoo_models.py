"""Mosoo v1's requests: both generations of names, closed objects, every limit, and errors that name the field."""

from typing import Any

import pytest

from api.dialects.mosoo import decode
from api.submission import Attachment
from shared import ids
from shared.errors import InvalidRequest
from shared.events import PermissionDecision, UserInterrupt, UserMessage, dump, load
from shared.ids import FileId, RunId, Ulid
from shared.models import BusyPolicy

FILE = "file_01KQX0V62MEXAMPLE7W6X3B2A"
ULID = "01J00000000000000000000009"


def one(**event: Any) -> Any:
    """The event of a batch of one."""
    (value,) = decode.batch({"events": [event]}).events
    return value


def refusal(body: Any, create: bool = False) -> str:
    with pytest.raises(InvalidRequest) as error:
        (decode.creation if create else decode.batch)(body)
    assert (error.value.status, error.value.code) == (400, "invalid_request")
    return error.value.message


def message(**fields: Any) -> dict[str, Any]:
    return {"events": [{"type": "user_message", "text": "hi", **fields}]}


def test_a_user_message_has_a_run_of_its_own_minted() -> None:
    first, second = decode.batch({"events": [{"type": "user_message", "text": "a"}] * 2}).events
    assert isinstance(first, UserMessage)
    assert isinstance(second, UserMessage)
    assert ids.parse(first.run) == first.run != second.run
    assert (first.text, first.client_request_id, first.on_busy) == ("a", None, None)


@pytest.mark.parametrize("name", ["clientRequestId", "requestId"])
def test_both_generations_name_the_client_s_request(name: str) -> None:
    assert one(type="user_message", text="a", **{name: "r-1"}).client_request_id == "r-1"


@pytest.mark.parametrize("policy", list(BusyPolicy))
def test_a_message_may_say_what_it_does_on_a_busy_thread(policy: BusyPolicy) -> None:
    assert one(type="user_message", text="a", on_busy=policy.value).on_busy is policy


@pytest.mark.parametrize("kind", ["permission_decision", "permission-decision"])
def test_a_decision_allows_or_rejects(kind: str) -> None:
    assert one(type=kind, requestId="any string", decision="allow_once") == PermissionDecision("any string", True)
    assert one(type=kind, requestId="r", decision="reject_once", note="why") == PermissionDecision("r", False, "why")


@pytest.mark.parametrize("kind", ["user_interrupt", "interrupt"])
def test_an_interrupt_names_a_run_in_either_case_or_none(kind: str) -> None:
    assert one(type=kind) == one(type=kind, runId=None) == UserInterrupt(None)
    assert one(type=kind, runId=ULID.lower()) == UserInterrupt(RunId(Ulid(ULID)))


@pytest.mark.parametrize("name", ["clientRequestId", "requestId", "attachmentIds", "resources", "on_busy"])
def test_null_is_the_same_as_absent(name: str) -> None:
    assert decode.batch(message(**{name: None})).document == decode.batch(message()).document


REFUSED = {
    "events is required.": {},
    "events.0 needs a `type`.": {"events": [{}]},
    "events.0 has an unknown `type`.": {"events": [{"type": "user_said"}]},
    "events.0 must be an object.": {"events": ["user_message"]},
    "The body must be an object.": [],
    "events is not valid: List should have at least 1 item after validation, not 0.": {"events": []},
    "extra is not a known key.": {"events": [{"type": "user_interrupt"}], "extra": 1},
    "events.0.shout is not a known key.": message(shout=True),
    "events.0.text is required.": {"events": [{"type": "user_message"}]},
    "events.0.text must not be blank.": message(text=" \n\t "),
    "events.0.text is longer than 262144 bytes.": message(text="a" * 262_145),
    "events.0.text is not valid: Input should be a valid string.": message(text=1),
    "events.0.requestId is not valid: String should have at most 255 characters.": message(requestId="r" * 256),
    "events.0.clientRequestId is not valid: String should have at least 1 character.": message(clientRequestId=""),
    "events.0.on_busy is not valid: Input should be 'queue', 'reject', 'interrupt' or 'steer'.": message(on_busy="x"),
    "events.0.requestId is required.": {"events": [{"type": "permission_decision", "decision": "allow_once"}]},
    "events.0.decision is not valid: Input should be 'allow_once' or 'reject_once'.": {
        "events": [{"type": "permission_decision", "requestId": "r", "decision": "allow_always"}]
    },
    "events.0.note is not valid: String should have at most 2000 characters.": {
        "events": [{"type": "permission_decision", "requestId": "r", "decision": "allow_once", "note": "n" * 2001}]
    },
    "events.0.clientRequestId and events.0.requestId are two names of one thing: send one of them.": message(
        clientRequestId="a", requestId="a"
    ),
    "events.0.attachmentIds and events.0.resources are two names of one thing: send one of them.": message(
        attachmentIds=[], resources=[]
    ),
    f"Attachment {FILE} is named twice.": message(attachmentIds=[FILE, FILE]),
    f"Attachment file_{ULID.lower()} is named twice.": {
        "events": [
            {"type": "user_message", "text": "a", "attachmentIds": [ULID]},
            {"type": "user_message", "text": "b", "resources": [{"type": "file", "file_id": f"file_{ULID.lower()}"}]},
        ]
    },
    "A request may attach 100 files at most.": {
        "events": [
            {"type": "user_message", "text": "a", "attachmentIds": [f"file_{n}-{m}" for m in range(51)]}
            for n in range(2)
        ]
    },
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_refused_batch_is_told_which_field_is_wrong(words: str) -> None:
    assert refusal(REFUSED[words]) == words


@pytest.mark.parametrize("run", ["", "01J0000000000000000000000", f"{ULID}\n", "81J00000000000000000000009", "U" * 26])
def test_a_run_id_that_is_no_ulid_is_refused(run: str) -> None:
    assert refusal({"events": [{"type": "user_interrupt", "runId": run}]}).startswith("events.0.runId is not valid:")


@pytest.mark.parametrize("file", ["", "file_", "file_" + "a" * 65, "file_a/b", "photo.png"])
def test_a_file_id_of_another_form_is_refused_by_its_form(file: str) -> None:
    assert refusal(message(attachmentIds=[file])).startswith("events.0.attachmentIds.0 is not valid:")


def spellings() -> list[str]:
    return [ULID, ULID.lower(), f"file_{ULID}", f"file_{ULID.lower()}"]


@pytest.mark.parametrize("name", spellings())
def test_every_spelling_of_a_file_is_that_file(name: str) -> None:
    said_with = {"input": {"type": "user.message", "content": [{"type": "text", "text": "a"}]}}
    sent = [decode.batch(message(attachmentIds=[name])), decode.batch(message(resources=[handle(name)]))]
    made = [
        decode.creation(said_with | {"files": [{"file_id": name}]}),
        decode.creation(said_with | {"resources": [handle(name)]}),
    ]
    requests: list[decode.Batch | decode.Creation] = [*sent, *made]
    for request in requests:
        (event,) = request.events
        assert isinstance(event, UserMessage)
        assert (request.files, event.files) == ((Attachment(name, FileId(Ulid(ULID))),), (ULID,))
    assert sent[0].document == sent[1].document == decode.batch(message(attachmentIds=[ULID])).document
    assert made[0].document == made[1].document


def handle(name: str) -> dict[str, str]:
    return {"type": "file", "file_id": name}


def test_what_can_be_no_file_of_ours_is_carried_to_be_told_with_the_others() -> None:
    batch = decode.batch(message(attachmentIds=[FILE, ULID]))
    assert batch.files == (Attachment(FILE, None), Attachment(ULID, FileId(Ulid(ULID))))
    assert load(dump(batch.events)) == list(batch.events)


def test_each_message_has_its_own_files_and_a_thread_without_one_has_them_alone() -> None:
    first, second, third = (str(ids.mint()) for _ in range(3))
    body = [{"type": "user_message", "text": "a", "attachmentIds": files} for files in ([first], [], [second, third])]
    batch = decode.batch({"events": body})
    assert [event.files for event in batch.events if isinstance(event, UserMessage)] == [
        (first,),
        (),
        (second, third),
    ]
    alone = decode.creation({"files": [{"file_id": first}]})
    assert (alone.events, [file.id for file in alone.files]) == ((), [first])


def test_a_batch_has_at_most_100_events() -> None:
    events = [{"type": "user_interrupt"}] * 100
    assert len(decode.batch({"events": events}).events) == 100
    assert "at most 100 items" in refusal({"events": [*events, events[0]]})


def test_limits_of_a_text_are_taken_at_the_limit() -> None:
    assert one(type="user_message", text="\u00e4" * 131_072).text == "\u00e4" * 131_072
    assert "262144 bytes" in refusal(message(text="\u00e4" * 131_073))


def test_only_the_first_wrong_thing_of_many_is_told() -> None:
    events = [{"type": "user_message", "text": "", **{f"k{n}": n for n in range(999)}}] * 100
    assert len(refusal({"events": events})) < 400


def test_a_thread_is_created_from_either_generation() -> None:
    creation = decode.creation(
        {
            "client_external_ref": "linear-ENG-123",
            "attributed_user_id": ULID.lower(),
            "userId": "u-1",
            "files": [],
            "input": {"type": "user.message", "content": [{"type": "text", "text": t} for t in ("a", "b")]},
        }
    )
    assert (creation.client_external_ref, creation.attributed_user, creation.user_id) == ("linear-ENG-123", ULID, "u-1")
    (event,) = creation.events
    assert isinstance(event, UserMessage)
    assert event.text == "a\nb"
    assert decode.creation({"resources": []}).document == decode.creation({"files": []}).document


def test_a_thread_may_be_created_without_an_input() -> None:
    assert decode.creation({}).events == ()
    assert decode.creation({"input": None}).document == {}


def said(*texts: str) -> dict[str, Any]:
    return {"input": {"type": "user.message", "content": [{"type": "text", "text": text} for text in texts]}}


def test_the_joined_input_is_1_to_32000_characters() -> None:
    assert decode.creation(said("a" * 31_998, "b")).events
    assert (
        refusal(said("a" * 31_999, "b"), create=True) == "input.content: the joined text must be 1 to 32000 characters."
    )
    assert refusal(said(""), create=True) == "input.content: the joined text must be 1 to 32000 characters."
    assert refusal(said(), create=True) == "input.content: the joined text must be 1 to 32000 characters."


REFUSED_CREATIONS = {
    "agent is not a known key.": {"agent": "x"},
    "input.role is not a known key.": {"input": {"type": "user.message", "content": [], "role": "user"}},
    "input.type is not valid: Input should be 'user.message'.": {"input": {"type": "user_message", "content": []}},
    "input.content is required.": {"input": {"type": "user.message"}},
    "input.content.0.type is not valid: Input should be 'text'.": {
        "input": {"type": "user.message", "content": [{"type": "image", "text": "a"}]}
    },
    "client_external_ref is not valid: String should have at most 255 characters.": {"client_external_ref": "r" * 256},
    "userId is not valid: String should have at least 1 character.": {"userId": ""},
    "userId is not valid: String should have at most 255 characters.": {"userId": "u" * 256},
    "files and resources are two names of one thing: send one of them.": {"files": [], "resources": []},
    f"Attachment {FILE} is named twice.": {"files": [{"file_id": FILE}] * 2, **said("a")},
    f"Attachment {ULID} is named twice.": {"resources": [{"type": "file", "file_id": ULID}] * 2},
    "files is not valid: List should have at most 100 items after validation, not 101.": {
        "files": [{"file_id": f"file_{n}"} for n in range(101)]
    },
    "The body must be an object.": "a thread, please",
}


@pytest.mark.parametrize("words", REFUSED_CREATIONS)
def test_a_refused_creation_is_told_which_field_is_wrong(words: str) -> None:
    assert refusal(REFUSED_CREATIONS[words], create=True) == words


def test_an_attributed_user_is_a_ulid() -> None:
    assert refusal({"attributed_user_id": "bob"}, create=True).startswith("attributed_user_id is not valid:")


def test_both_generations_of_one_request_have_one_form() -> None:
    first = message(clientRequestId="a", attachmentIds=[])
    second = message(requestId="a", resources=[])
    assert decode.batch(first).document == decode.batch(second).document
