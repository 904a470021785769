-- name: newest
-- The newest entries of the audit log. Beside each entry stand how many were looked at and how far down. Arguments: below this id, target, actor,
-- action (each may be null), limit, how many are looked at.
with looked as materialized (
    select * from audit
    where id < $1
    order by id desc
    limit $6
)
select s.looked, s.reached, l.*
from (select count(*) as looked, min(id) as reached from looked) s
left join lateral (
    select id, at, actor, token, via, action, target, account, reason, touched, result
    from looked
    where ($2::text is null or target = $2) and ($3::text is null or actor = $3) and ($4::text is null or action = $4)
    order by id desc
    limit $5
) l on true
order by l.id desc;

-- name: by_target
-- Those of one target. Beside each entry stand how many were looked at and how far down. Arguments: below this id, target, actor,
-- action (each may be null), limit, how many are looked at.
with looked as materialized (
    select * from audit
    where target = $2 and id < $1
    order by id desc
    limit $6
)
select s.looked, s.reached, l.*
from (select count(*) as looked, min(id) as reached from looked) s
left join lateral (
    select id, at, actor, token, via, action, target, account, reason, touched, result
    from looked
    where ($2::text is null or target = $2) and ($3::text is null or actor = $3) and ($4::text is null or action = $4)
    order by id desc
    limit $5
) l on true
order by l.id desc;

-- name: by_actor
-- Those of one actor. Beside each entry stand how many were looked at and how far down. Arguments: below this id, target, actor,
-- action (each may be null), limit, how many are looked at.
with looked as materialized (
    select * from audit
    where actor = $3 and id < $1
    order by id desc
    limit $6
)
select s.looked, s.reached, l.*
from (select count(*) as looked, min(id) as reached from looked) s
left join lateral (
    select id, at, actor, token, via, action, target, account, reason, touched, result
    from looked
    where ($2::text is null or target = $2) and ($3::text is null or actor = $3) and ($4::text is null or action = $4)
    order by id desc
    limit $5
) l on true
order by l.id desc;

-- name: by_action
-- Those of one action. Beside each entry stand how many were looked at and how far down. Arguments: below this id, target, actor,
-- action (each may be null), limit, how many are looked at.
with looked as materialized (
    select * from audit
    where action = $4 and id < $1
    order by id desc
    limit $6
)
select s.looked, s.reached, l.*
from (select count(*) as looked, min(id) as reached from looked) s
left join lateral (
    select id, at, actor, token, via, action, target, account, reason, touched, result
    from looked
    where ($2::text is null or target = $2) and ($3::text is null or actor = $3) and ($4::text is null or action = $4)
    order by id desc
    limit $5
) l on true
order by l.id desc;
