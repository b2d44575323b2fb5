-- No rows. What a reservation costs once, and the credit that it gives in each month, which pays for just that month.
with charged as (
    insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)
    values (:id, :organization_id, :description, :upfront_amount, :currency, :occurred_at)
)

insert into credit_grants (
    id, organization_id, description, amount, currency, priority, scope, granted_at, expires_at
)
select credit_id, :organization_id, :description, :monthly_credit, :currency, :priority, cast(:scope as jsonb), month_start, month_end
from unnest(cast(:credit_ids as uuid[]), cast(:starts as timestamptz[]), cast(:ends as timestamptz[]))
    as m (credit_id, month_start, month_end)
