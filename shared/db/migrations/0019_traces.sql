-- The trace that a batch was accepted in, and a run was made in (W3C, `traceparent`): null where nobody records it.
alter table batches add column traceparent text;
alter table runs add column traceparent text;
