-- What an operator confirmed in the console, once each: a button pressed twice shows what the first press did.
create table console_deeds (
    session bytea not null references console_sessions on delete cascade,
    id      text not null check (length(id) between 16 and 64),  -- of the page that asked
    at      timestamptz not null default clock_timestamp(),
    told    text,  -- what came of it, in one line; null: it is under way, or its process died
    place   text,  -- where the console goes on
    primary key (session, id)
);
