-- name: newest
-- The newest entries, each beside how many were looked at and how far down. Arguments: below this id,
-- target, actor, action (each may be null), limit, how many are looked at.
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
-- The same of one target, by a range of its index. (By equality the planner may take the primary key.) Arguments: as above.
with looked as materialized (
    select * from audit
    where (target, id) < ($2, $1) and target >= $2
    order by target desc, id desc
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
-- The same of one actor, by a range of its index. Arguments: as above.
with looked as materialized (
    select * from audit
    where (actor, id) < ($3, $1) and actor >= $3
    order by actor desc, id desc
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
-- The same of one action, by a range of its index. Arguments: as above.
with looked as materialized (
    select * from audit
    where (action, id) < ($4, $1) and action >= $4
    order by action desc, id desc
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
