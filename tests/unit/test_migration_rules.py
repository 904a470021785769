"""Migrations keep to what docs/upgrading.md says, as far as that can be read in them: what is there stays as it is."""

import re

import pytest

from shared.db.migrate import Migration, migrations

BEFORE_THE_RULES = 26  # these are merged, and a migration never changes

# What takes something from the programs of the version before, or keeps a table from them for as long as it is large.
REFUSED = {
    "drops what an older program may use": r"\bdrop\s+(table|column|view|sequence|type|function|schema)\b",
    "renames": r"\brename\b",
    "changes a type": r"\balter\s+column\s+\w+\s+(set\s+data\s+)?type\b",
    "refuses what an older program writes": r"\bset\s+not\s+null\b|\badd\s+(constraint\s+\w+\s+)?"
    r"(check|unique|primary|foreign|exclude)\b(?![^;]*\bnot\s+valid\b)",
    "asks of an older program what it does not write": r"\badd\s+column\s+"
    r"(?:(?!\bdefault\b|\bnull\b|[,;]).)*\bnot\s+null\b(?![^,;]*\b(default|generated)\b)",
    "writes the table anew": r"\bgenerated\s+always\s+as\s*\([^;]*\)\s*stored\b|\bdefault\s+"
    r"(clock_timestamp|random|gen_random_uuid|nextval)\b",
    "builds an index while nobody may write": r"\bcreate\s+(unique\s+)?index\b(?!\s+concurrently)",
    "changes all rows at once": r"^\s*(update|delete\s+from)\b",
}
# A migration that does one of these on purpose: its number -> what, and why nobody is harmed.
EXCUSED: dict[int, dict[str, str]] = {}


def refusals(migration: Migration) -> set[str]:
    """What in it is refused. What it does to tables that it makes itself is its own affair."""
    text = re.sub(r"--[^\n]*", "", migration.text).lower()
    made = re.findall(r"\bcreate\s+table\s+(\w+)", text)
    own = re.compile(rf"\b(on|table|update|from)\s+({'|'.join(made)})\b") if made else None
    statements = [one.strip() for one in text.split(";") if one.strip()]
    others = [one for one in statements if not one.startswith("create table") and not (own and own.search(one))]
    return {what for what, pattern in REFUSED.items() for one in others if re.search(pattern, f"{one};", re.DOTALL)}


@pytest.mark.parametrize(
    "migration", [one for one in migrations() if one.version > BEFORE_THE_RULES], ids=lambda one: one.name
)
def test_a_migration_says_whom_it_goes_with_and_takes_nothing_from_them(migration: Migration) -> None:
    assert "-- Works with: " in migration.text, "say the oldest migration whose programs go on beside it"
    assert 1 <= migration.works_with < migration.version
    assert refusals(migration) == set(EXCUSED.get(migration.version, {}))
    assert not migration.apart or migration.text.count(";") == 1, "what can't be in a transaction is one statement"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("drop table threads;", "drops what an older program may use"),
        ("alter table runs drop column input;", "drops what an older program may use"),
        ("alter table runs rename column input to given;", "renames"),
        ("alter table runs alter column attempt type bigint;", "changes a type"),
        ("alter table runs alter column input set not null;", "refuses what an older program writes"),
        ("alter table runs add constraint few check (attempt < 9);", "refuses what an older program writes"),
        ("alter table runs add unique (id);", "refuses what an older program writes"),
        ("alter table runs add column word text not null;", "asks of an older program what it does not write"),
        ("alter table runs add column at timestamptz default clock_timestamp();", "writes the table anew"),
        ("alter table runs add column n int generated always as (attempt + 1) stored;", "writes the table anew"),
        ("create index runs_word on runs (word);", "builds an index while nobody may write"),
        ("update runs set word = 'x';", "changes all rows at once"),
        ("create table a (id int);\ndrop table b;", "drops what an older program may use"),
    ],
)
def test_what_harms_an_older_program_is_found(text: str, what: str) -> None:
    assert what in refusals(Migration(99, "bad", text))


@pytest.mark.parametrize(
    "text",
    [
        "create table words (id uuid primary key, said text not null);\ncreate index words_said on words (said);",
        "alter table runs add column word text;",
        "alter table runs add column n integer not null default 0;",
        "alter table runs add constraint few check (attempt < 9) not valid;",
        "create index concurrently runs_word on runs (word);",
        "create or replace view live_tokens as select 1;  -- never drop table",
    ],
)
def test_what_only_adds_is_let_through(text: str) -> None:
    assert refusals(Migration(99, "good", text)) == set()


def test_a_migration_that_says_nothing_goes_with_no_older_program() -> None:
    assert Migration(99, "silent", "select 1").works_with == 99
    assert Migration(99, "open", "-- Works with: 97\nselect 1").works_with == 97
    assert Migration(99, "apart", "-- Outside of a transaction\nselect 1").apart
