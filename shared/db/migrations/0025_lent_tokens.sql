-- A token that the playground was lent is no longer good than the login that it was lent to, and than that login's token.
alter table tokens add column lent_by uuid references tokens;  -- the operator's token
alter table tokens add column lent_to bytea;  -- the digest of the login's cookie
alter table tokens add constraint tokens_lent_whole check ((lent_by is null) = (lent_to is null));
create index tokens_lent_by on tokens (lent_by) where lent_by is not null;
create index tokens_lent_to on tokens (lent_to) where lent_to is not null;

-- Those that let somebody in: asked where they are looked up, so that no order of lending and revoking leaves one over.
create view live_tokens as
select t.id, t.account, t.kind, t.digest, t.rate, t.burst
from tokens t
where t.revoked_at is null
  and (t.expires_at is null or t.expires_at > clock_timestamp())
  and (t.lent_to is null or exists (
      select
      from console_sessions s
      join tokens l on l.id = s.token
      where s.digest = t.lent_to
        and s.expires_at > clock_timestamp()
        and l.revoked_at is null
        and (l.expires_at is null or l.expires_at > clock_timestamp())
  ));
