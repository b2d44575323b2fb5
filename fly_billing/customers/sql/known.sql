-- name: known_organizations
-- One row per organization of :keys.
select id, name, currency, price_book, stripe_customer_id, billing_group, created_at, closed_at
from organizations
where id = any (:keys);

-- name: organizations_before
-- One row per earlier version of an organization of :keys, the oldest first.
select organization_id, before_month, currency, price_book
from organization_history
where organization_id = any (:keys)
order by organization_id, before_month;
