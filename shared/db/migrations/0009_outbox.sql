-- Whom the outbox has work for is asked agent by agent, so that one with many rows does not stand before the others.
drop index outbox_due;
create index outbox_due on outbox (agent, next_try_at) where delivered_at is null and parked_at is null;
