"""Strict JSON: everything hostile that can be told from the bytes alone, with its literal input."""

import gzip
import json

import pytest

from api.body import DEPTH, KEYS, SAFE, VALUES, decode
from api.dialects.openai.models import OUTPUT_LIMIT
from shared.errors import InvalidJson, InvalidRequest, ThreadmillError

MIB = 1 << 20

REFUSED = {
    "invalid UTF-8": (b'{"text":"\xff"}', "The body is not UTF-8 (byte 9)."),
    "an overlong NUL": (b'{"text":"\xc0\x80"}', "The body is not UTF-8 (byte 9)."),
    "a raw surrogate": (b'{"text":"\xed\xa0\x80"}', "The body is not UTF-8 (byte 9)."),
    "a byte order mark": (b"\xef\xbb\xbf{}", "The body begins with a byte order mark."),
    "UTF-16 with its mark": ('{"a":1}'.encode("utf-16"), "The body is not UTF-8 (byte 0)."),
    "UTF-16 without one": ('{"a":1}'.encode("utf-16-le"), "character 1"),
    "a raw NUL in a value": (b'{"text":"a\x00b"}', "Invalid control character at at character 10"),
    "a raw NUL in a key": (b'{"a\x00b":1}', "character 3"),
    "an escaped NUL in a value": (b'{"text":"a\\u0000b"}', "\\u0000 is not taken"),
    "an escaped NUL in a key": (b'{"a\\u0000b":1}', "\\u0000 is not taken"),
    "an escaped NUL far inside": (b'{"a":[{"b":["\\u0000"]}]}', "\\u0000 is not taken"),
    "a lone high surrogate": (b'{"text":"\\ud800"}', "A lone surrogate is not taken"),
    "a lone low surrogate": (b'{"text":"\\udc00"}', "A lone surrogate is not taken"),
    "surrogates the wrong way round": (b'{"text":"\\udc00\\ud800"}', "A lone surrogate is not taken"),
    "a lone surrogate in a key": (b'{"\\ud800":1}', "A lone surrogate is not taken"),
    "NaN": (b'{"a":NaN}', "NaN is not JSON."),
    "Infinity": (b'{"a":Infinity}', "Infinity is not JSON."),
    "-Infinity": (b'{"a":-Infinity}', "-Infinity is not JSON."),
    "1e999": (b'{"a":1e999}', 'The number "1e999" is too large.'),
    "-1e999": (b'{"a":-1e999}', 'The number "-1e999" is too large.'),
    "1e131071": (b'{"a":1e131071}', 'The number "1e131071" is too large.'),
    "an integer of 5,000 digits": (b'{"a":%b}' % (b"9" * 5000), "is beyond 2^53."),
    "2^53 + 1": (b'{"a":9007199254740993}', 'The integer "9007199254740993" is beyond 2^53.'),
    "-2^53 - 1": (b'{"a":-9007199254740993}', 'The integer "-9007199254740993" is beyond 2^53.'),
    "depth 100,000": (b"[" * 100_000, "nested deeper than 64 levels"),
    "depth 100,000, closed": (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 64 levels"),
    "objects 100,000 deep": (b'{"a":' * 100_000, "nested deeper than 64 levels"),
    "depth 65": (b"[" * 65 + b"]" * 65, "nested deeper than 64 levels"),
    "depth 65, mixed, behind other values": (
        b'[{"a":1},' + b'{"a":[' * 32 + b"]}" * 32 + b"]",
        "nested deeper than 64 levels",
    ),
    "a key twice": (b'{"a":1,"b":2,"a":3}', 'The key "a" stands twice in one object.'),
    "a key twice, spelled in two ways": (b'{"a":1,"\\u0061":3}', 'The key "a" stands twice in one object.'),
    "a key twice, inside": (b'{"x":[{"a":1,"a":1}]}', 'The key "a" stands twice in one object.'),
    "trailing data": (b"{} {}", "Extra data at character 3"),
    "a trailing comma": (b'{"a":1,}', "character 7"),
    "a comment": (b"{/* */}", "character 1"),
    "half a body": (b'{"events":[', "character 11"),
    "white space alone": (b"  \r\n", "character 4"),
    "a gzip bomb": (gzip.compress(b"0" * (10 * MIB)), "The body is not UTF-8 (byte 1)."),
    "a thousand and one keys": (
        b"{" + b",".join(b'"k%d":1' % n for n in range(KEYS + 1)) + b"}",
        "An object has more than 1000 keys.",
    ),
    "quotes that never close": (b'{"a":"' + b"[" * 100_000, "Unterminated string"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_another_reader_could_take_otherwise_is_refused(name: str) -> None:
    body, words = REFUSED[name]
    with pytest.raises(InvalidJson) as refusal:
        decode(body)
    assert words in refusal.value.message
    assert len(refusal.value.message) < 200
    refusal.value.message.encode("ascii")


@pytest.mark.parametrize(
    "body",
    [
        b'{"events":[' + b",".join([b"{}"] * 100_001) + b"]}",
        b"[" + b",".join([b"1"] * 500_000) + b"]",
        b'{"a":[' + b",".join([b'{"b":{}}'] * 70_000) + b"]}",
    ],
    ids=["100,001 events", "half a million numbers", "140,000 objects"],
)
def test_a_body_of_very_many_values_is_refused_before_they_are_made(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="more values than any request has") as refusal:
        decode(body)
    assert refusal.value.code == "invalid_request"


TAKEN = {
    "depth 64": (b"[" * DEPTH + b"]" * DEPTH, None),
    "brackets in a string": (b'{"a":"%b"}' % (b"[{" * 1000), {"a": "[{" * 1000}),
    "brackets behind an escaped quote": (b'{"a":"\\"%b"}' % (b"[" * 100), {"a": '"' + "[" * 100}),
    "brackets behind an escaped backslash": (
        b'{"a":"\\\\","b":"%b"}' % (b"[" * 100),
        {"a": "\\", "b": "[" * 100},
    ),
    "commas in a string": (b'{"a":"%b"}' % (b"," * 2 * VALUES), {"a": "," * 2 * VALUES}),
    "a pair of surrogates": (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    "a backslash and the text u0000": (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
    "every other control character, escaped": (b'{"a":"\\u0001\\u001f\\u007f"}', {"a": "\x01\x1f\x7f"}),
    "2^53": (b'{"a":9007199254740992}', {"a": SAFE}),
    "-2^53": (b'{"a":-9007199254740992}', {"a": -SAFE}),
    "the largest double": (b'{"a":1.7976931348623157e308}', {"a": 1.7976931348623157e308}),
    "white space around": (b' \n{"a":1}\r\n', {"a": 1}),
    "a thousand keys": (json.dumps({f"k{n}": n for n in range(KEYS)}).encode(), {f"k{n}": n for n in range(KEYS)}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_ordinary_json_at_the_edges_is_taken(name: str) -> None:
    body, value = TAKEN[name]
    if value is None:
        decode(body)
    else:
        assert decode(body) == value


def test_a_refusal_is_always_one_of_ours() -> None:
    """Every prefix and every one-byte change of a body is taken or refused, never anything else."""
    body = b'{"events":[{"type":"user_message","text":"a\\u00e4\\n","n":-1.5e3,"x":[true,null]}]}'
    variants = [body[:length] for length in range(1, len(body))]
    variants += [
        body[:at] + bytes([byte]) + body[at + 1 :] for at in range(len(body)) for byte in (0, 34, 44, 92, 123, 255)
    ]
    for variant in variants:
        assert status(variant) in (200, 400)


def status(body: bytes) -> int:
    """What a client would be answered."""
    try:
        decode(body)
    except ThreadmillError as refusal:
        return refusal.status
    return 200


def test_as_many_outputs_as_a_document_allows_fit_into_a_body() -> None:
    output = {"tool_call_id": "01J00000000000000000000009", "output": '{"decision": "allow"}'}
    body = {"tool_outputs": [output] * OUTPUT_LIMIT, "stream": False}
    assert decode(json.dumps(body).encode()) == body
