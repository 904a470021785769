-- What a run said last: read with the run, however many messages its thread has.

create index messages_by_run on messages (partition, thread, run, num) where role = 'assistant';
