-- name: add_subscriptions
-- No rows.
insert into subscriptions (
    id, organization_id, price_key, started_at, ended_at, quantity, billed, proration, anchor, trial_ends_at,
    anchored_at
)
values (
    :id, :organization_id, :price_key, :started_at, :ended_at, :quantity, :billed, :proration, :anchor, :trial_ends_at,
    :anchored_at
);

-- name: change_subscription
-- No rows. The database refuses more than another end, once a final invoice used it.
update subscriptions
set
    ended_at = :ended_at, quantity = :quantity, billed = :billed, proration = :proration, anchor = :anchor,
    trial_ends_at = :trial_ends_at, anchored_at = :anchored_at
where id = :id;

-- name: subscriptions_of
-- One row per subscription of these organizations.
select
    id, organization_id, price_key, started_at, ended_at, quantity, billed, proration, anchor, trial_ends_at,
    anchored_at
from subscriptions
where organization_id = any (:keys)
order by organization_id, started_at, id;
