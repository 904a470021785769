"""ULIDs: their text, their bytes, their order."""

import os
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given
from ulid import ULID

from shared import ids
from shared.ids import Ulid

BYTES = st.binary(min_size=16, max_size=16)
LARGEST = b"\xff" * 16


@given(BYTES)
def test_text_and_bytes_are_the_same_as_the_ulid_librarys(value: bytes) -> None:
    text = ids.from_bytes(value)
    assert text == str(ULID.from_bytes(value))
    assert ids.to_bytes(text) == value


@given(BYTES, BYTES)
def test_texts_sort_as_their_bytes_do(one: bytes, other: bytes) -> None:
    assert (ids.from_bytes(one) < ids.from_bytes(other)) == (one < other)


@given(BYTES.filter(lambda value: value != LARGEST))
def test_the_successor_is_the_next_number(value: bytes) -> None:
    following = ids.successor(ids.from_bytes(value))
    assert ids.to_bytes(following) == (int.from_bytes(value, "big") + 1).to_bytes(16, "big")


def test_a_successor_carries_to_the_left() -> None:
    assert ids.successor("01ARZ3NDEKTSV4RRFFQ69G5FZZ") == "01ARZ3NDEKTSV4RRFFQ69G5G00"


@given(BYTES)
def test_an_id_is_read_in_either_case_and_spelled_in_upper_case(value: bytes) -> None:
    text = ids.from_bytes(value)
    assert ids.parse(text) == ids.parse(text.lower()) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01ARZ3NDEKTSV4RRFFQ69G5FA",
        "01ARZ3NDEKTSV4RRFFQ69G5FAVV",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV\n",
        " 01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "81ARZ3NDEKTSV4RRFFQ69G5FAV",
        "01ARZ3NDEKTSV4RRFFQ69G5FAI",
        "01ARZ3NDEKTSV4RRFFQ69G5FAl",
        "01ARZ3NDEKTSV4RRFFQ69G5FAO",
        "01ARZ3NDEKTSV4RRFFQ69G5FAu",
        "01ARZ3NDEKTSV4RRFFQ69G5FA\u0661",
        "file_01KQX0V62MEXAMPLE7W6X3B2A",
    ],
)
def test_what_spells_no_id_is_none(text: str) -> None:
    assert ids.parse(text) is None


def test_a_minted_id_carries_the_time_of_this_machine() -> None:
    before = datetime.now(UTC)
    minted = ULID.from_str(ids.mint()).datetime
    assert before - timedelta(milliseconds=1) <= minted <= datetime.now(UTC)


def test_minted_ids_grow_within_a_millisecond_and_when_the_clock_is_set_back() -> None:
    clock, minted = ids._Clock(), []
    clock._begin(time.time_ns() // 1_000_000 + 3_600_000)
    clock._count = ids._COUNTS - 100  # the count of a millisecond runs out, and the clock is an hour behind
    minted += [clock.next() for _ in range(1_000)]
    assert minted == sorted(set(minted))
    assert ULID.from_str(minted[-1]).milliseconds == ULID.from_str(minted[0]).milliseconds + 1


def test_every_character_of_chance_is_as_likely_as_any_other() -> None:
    counts = Counter("".join(ids.mint()[14:] for _ in range(8_000)))
    assert set(counts) == set(ids.ALPHABET)
    assert max(counts.values()) < 1.2 * min(counts.values())


def test_an_id_of_a_moment_carries_that_moment() -> None:
    moment = datetime(2023, 11, 7, 5, 31, 56, 123_999, tzinfo=UTC)
    assert ULID.from_str(ids.at(moment)).datetime == moment.replace(microsecond=123_000)


def test_ids_of_one_moment_differ() -> None:
    moment = datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)
    assert len({ids.at(moment) for _ in range(1000)}) == 1000


@given(BYTES, st.integers(1, 256))
def test_a_thread_has_one_partition_among_those_there_are(value: bytes, partitions: int) -> None:
    text = ids.from_bytes(value)
    assert 0 <= ids.partition_of(text, partitions) < partitions
    assert ids.partition_of(text, partitions) == ids.partition_of(Ulid(str(text)), partitions)


def test_the_partition_of_a_thread_never_changes_between_versions() -> None:
    """Rows are stored under it: another hash would lose every thread."""
    assert ids.partition_of("01ARZ3NDEKTSV4RRFFQ69G5FAV", 64) == 13


def test_threads_spread_over_the_partitions() -> None:
    counts = [0] * 64
    for _ in range(6400):
        counts[ids.partition_of(ids.from_bytes(os.urandom(16)), 64)] += 1
    assert min(counts) > 40
    assert max(counts) < 180
