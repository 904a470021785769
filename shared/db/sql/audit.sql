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
