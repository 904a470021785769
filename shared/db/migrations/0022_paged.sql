-- Lists of what operators see are paged by key: each order that a list has is an index, its last column unique.
drop index tokens_account;
create index tokens_by_account on tokens (account, kind, (revoked_at is not null), id);
create index tokens_by_kind on tokens (kind, (revoked_at is not null), id);

create index agents_by_age on agents (created_at, id);
create index agents_by_account on agents (account, created_at, id);

-- Searched by how a name begins, in either case.
create index accounts_by_name on accounts ((lower(name) collate "C"), id);
create index agents_by_name on agents (account, (lower(name) collate "C"), id);

drop index outbox_due;
drop index outbox_parked;
drop index outbox_delivered;
create index outbox_due on outbox (agent, next_try_at, id) where delivered_at is null and parked_at is null;
create index outbox_parked on outbox (parked_at, id) where parked_at is not null;
create index outbox_delivered on outbox (delivered_at, id) where delivered_at is not null;
create index outbox_parked_by_agent on outbox (agent, parked_at, id) where parked_at is not null;
create index outbox_delivered_by_agent on outbox (agent, delivered_at, id) where delivered_at is not null;
