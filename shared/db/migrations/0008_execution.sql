-- What executing runs needs: who may take a thread's current run, what a runner left, whom to tell of it.

-- Since when the thread's current run waits for a worker; null where there is none, or somebody has it, or it waits for
-- a permission. What a lease says stands in `leases`: one of an interrupted run may outlive it.
alter table threads add column ready_at timestamptz;
create index threads_ready on threads (ready_at) where ready_at is not null;
update threads set ready_at = updated_at where active_runs > 0 and deleted_at is null;

-- Who has a run: never the same number twice, so that a lease that was lost can't be taken for a later one.
create sequence lease_epochs;
alter table leases alter column epoch set default nextval('lease_epochs');
alter table leases add column deadline timestamptz;  -- of its run, here because executing runs are few
create index leases_by_owner on leases (owner);

alter table runs add column resume_after uuid;  -- the event up to which a new attempt expects nothing: of a checkpoint or a wait
alter table runs add column usage jsonb;  -- tokens: input_tokens, output_tokens, total_tokens

-- A message that its run could not finish is kept, and says so.
alter table messages add column status text not null default 'completed' check (status in ('completed', 'incomplete'));
alter table messages add column incomplete_reason text;
alter table messages add constraint messages_reason_iff_incomplete
    check ((status = 'incomplete') = (incomplete_reason is not null));

alter table thread_events add column message uuid;  -- of deltas: the message they belong to

alter table permission_requests add column key text;  -- the runner's own name of it, by which it finds the decision

alter table agents add column run_timeout integer check (run_timeout > 0);  -- seconds; null: the setting
alter table agents add column on_expired text not null default 'continue' check (on_expired in ('continue', 'expire'));
alter table agents add column webhook_url text;
alter table agents add column webhook_secret text;
alter table agents add constraint agents_webhook_has_secret check ((webhook_url is null) = (webhook_secret is null));

alter table workers add column executing integer not null default 0;

-- What is to be told to agents' webhooks, written in the transaction of the run that it tells of.
create table outbox (
    partition    smallint not null,
    id           uuid not null,
    thread       uuid not null,
    run          uuid not null,
    agent        uuid not null,
    type         text not null check (type in ('run.completed', 'run.failed', 'run.cancelled', 'run.waiting_input')),
    body         text not null,
    created_at   timestamptz not null default clock_timestamp(),
    attempts     integer not null default 0,
    next_try_at  timestamptz not null default clock_timestamp(),
    delivered_at timestamptz,
    parked_at    timestamptz,
    status       integer,  -- of the last answer
    error        text,     -- of the last try
    primary key (partition, id),
    check (delivered_at is null or parked_at is null)
) with (fillfactor = 70);

create index outbox_due on outbox (next_try_at) where delivered_at is null and parked_at is null;
create index outbox_parked on outbox (parked_at) where parked_at is not null;
create index outbox_delivered on outbox (delivered_at) where delivered_at is not null;
