-- name: add_loaded_members
-- No rows. Inserts memberships in groups, or updates their end.
insert into price_group_members select * from loaded_members
on conflict (price_group, organization_id, effective_from) do update set effective_until = excluded.effective_until
where to_jsonb(price_group_members) <> to_jsonb(excluded);

-- name: add_loaded_negotiated_prices
-- No rows. Inserts or updates versions of negotiated prices. Unchanged ones are not written, because the database
-- refuses every update of a used one.
insert into negotiated_prices select * from loaded_negotiated_prices
on conflict (id) do update set charges = excluded.charges, effective_until = excluded.effective_until
where to_jsonb(negotiated_prices) <> to_jsonb(excluded);

-- name: negotiated_prices
-- One row per version of a negotiated price.
select id, book, key, organization_id, price_group, match, charges, effective_from, effective_until
from negotiated_prices
where cast(:id as uuid) is null or id = :id
order by book, key, organization_id, price_group, effective_from, id;

-- name: price_group_members
-- One row per membership of an organization in a group that has negotiated prices.
select price_group, organization_id, effective_from, effective_until
from price_group_members
order by price_group, organization_id, effective_from;
