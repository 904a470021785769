-- What the other dialects need to know of messages without reading them.

-- Bytes of a message: pages and what waits for a run are bounded by them.
alter table messages add column size integer not null generated always as (octet_length(parts::text)) stored;

-- Messages by the one that they follow: where that is removed they follow what it followed.
create index messages_following on messages (partition, thread, parent) where parent is not null;

-- Assistants' messages that somebody added: what a run answers comes behind the last one.
create index messages_aside on messages (partition, thread, num) where run is null and role = 'assistant';
