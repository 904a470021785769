-- Rates of the whole service: what its processes counted in each ten seconds of Postgres' clock. Every process adds what
-- it counted since it last did. `latency` counts batches by the bounds of shared.metrics.LATENCY: other bounds take
-- another column, because sums over two sets of bounds would say nothing.
create table samples (
    at        timestamptz primary key,
    accepted  bigint not null default 0,  -- batches
    applied   bigint not null default 0,
    parked    bigint not null default 0,
    completed bigint not null default 0,  -- runs
    failed    bigint not null default 0,
    cancelled bigint not null default 0,
    expired   bigint not null default 0,
    latency   bigint[] not null default '{}'  -- applied batches, by the time since they were accepted
) with (fillfactor = 50);
