-- name: add_memberships
-- No rows.
insert into price_group_members (price_group, organization_id, effective_from, effective_until)
values (:price_group, :organization_id, :effective_from, :effective_until);

-- name: add_negotiated_prices
-- No rows.
insert into negotiated_prices (
    id, book, key, organization_id, price_group, match, charges, effective_from, effective_until
)
values (
    :id, :book, :key, :organization_id, :price_group, cast(:match as jsonb), cast(:charges as jsonb), :effective_from,
    :effective_until
);

-- name: change_membership
-- No rows.
update price_group_members set effective_until = :effective_until
where price_group = :price_group and organization_id = :organization_id and effective_from = :effective_from;

-- name: change_negotiated_price
-- No rows. The database refuses more than another end, once a final invoice used it.
update negotiated_prices set charges = cast(:charges as jsonb), effective_until = :effective_until where id = :id;

-- name: memberships_of
-- One row per membership of these organizations in a group.
select price_group, organization_id, effective_from, effective_until
from price_group_members
where organization_id = any (:keys);

-- name: negotiated_prices_of
-- One row per negotiated price of these organizations, and of these groups (`group early`).
select id, book, key, organization_id, price_group, match, charges, effective_from, effective_until
from negotiated_prices
where coalesce(organization_id, 'group ' || price_group) = any (:keys);

-- name: withdraw_negotiated_price
-- No rows. The database refuses it if an invoice used it.
delete from negotiated_prices where id = :id;
