-- name: add_loaded_members
-- No rows. Memberships in groups; of one that is there its end is set.
insert into price_group_members select * from loaded_members
on conflict (price_group, organization_id, effective_from) do update set effective_until = excluded.effective_until
where to_jsonb(price_group_members) <> to_jsonb(excluded);

-- name: add_loaded_negotiated_prices
-- No rows. Versions of negotiated prices. Only changed ones are written, so that the refusal to change a used one speaks
-- up exactly when one is changed.
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
