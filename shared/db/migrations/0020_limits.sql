-- What an account, or a token, may do at once; and which accounts wait.

-- Drains and the sweep step over accounts that are held: those are found without reading the others.
create index accounts_held on accounts (id) where held;

-- Requests a second, and how many at once. Null: the setting's; infinite: no limit.
alter table accounts add column rate double precision check (rate > 0);
alter table accounts add column burst integer check (burst > 0);
alter table tokens add column rate double precision check (rate > 0);
alter table tokens add column burst integer check (burst > 0);

-- Batches accepted and not applied, and runs that execute, of one account. Null: the setting's.
alter table accounts add column in_flight integer check (in_flight > 0);
alter table accounts add column concurrency integer check (concurrency > 0);
