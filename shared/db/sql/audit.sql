-- name: begin
-- Something that an operator is about to do. Arguments: actor, token or null, via, action, target, account or null, reason or
-- null.
insert into audit (actor, token, via, action, target, account, reason)
values ($1, $2, $3, $4, $5, $6, $7)
returning id;

-- name: reached
-- It has reached so many more. Arguments: id, how many.
update audit set touched = coalesce(touched, 0) + $2 where id = $1;

-- name: end
-- What came of it. Arguments: id, how many it reached (null: as was kept on the way), result.
update audit set touched = coalesce($2, touched), result = $3 where id = $1;

-- name: page
-- The newest entries below an id, of an action, a target, an actor, or all. Arguments: id, action or null, target or null,
-- actor or null, limit.
select id, at, actor, token, via, action, target, account, reason, touched, result
from audit
where id < $1
  and ($2::text is null or action = $2)
  and ($3::text is null or target = $3)
  and ($4::text is null or actor = $4)
order by id desc
limit $5;
