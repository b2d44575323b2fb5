-- name: organizations_beginning
-- One row per organization whose id begins with :beginning, the first :most of them.
select id
from organizations
where starts_with(id, :beginning)
order by id
limit :most;

-- name: price_keys_beginning
-- One row per price key that begins with :beginning, the first :most of them; with :fees only those of fees.
select distinct key
from prices
where starts_with(key, :beginning) and (not cast(:fees as boolean) or meter is null)
order by key
limit :most;
