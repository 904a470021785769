-- What the dialects of Cortex and of OpenAI know of a thread beside the native one.

alter table threads add column name text;  -- what its owner calls it; the title is of its first message

-- Messages of users that no run has answered yet: the next run that is requested does.
create index messages_unanswered on messages (partition, thread, num) where run is null and role = 'user';
