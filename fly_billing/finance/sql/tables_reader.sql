-- name: set_finance_moment
-- One row. Sets the moment that the views show during this transaction, for ages and expiries.
select set_config('fly_billing.as_of', cast(cast(:at as timestamptz) as text), true);

-- name: finance_months_table
-- One row per month up to :last and currency, newest first.
select
    month, currency, invoices, revenue_cents, tax_cents, prepaid_cents, total_cents, paid_cents, written_off_cents
from finance_months
where month >= :first and month <= :last
order by month desc, currency;

-- name: finance_revenue_by_product
-- One row per currency, product, kind and price of the month's revenue, largest first.
select currency, product, kind, meter, price_key, cast(sum(revenue_cents) as bigint) as revenue_cents
from finance_revenue
where month = :month
group by currency, product, kind, meter, price_key
order by currency, sum(revenue_cents) desc, product, kind, price_key;

-- name: finance_revenue_by_region
-- One row per currency and region of the month's revenue, largest first. Null: fees, discounts and the like.
select currency, region, cast(sum(revenue_cents) as bigint) as revenue_cents
from finance_revenue
where month = :month
group by currency, region
order by currency, sum(revenue_cents) desc, region;

-- name: finance_revenue_by_organization
-- One row per currency and organization of the month's revenue, largest first, with the payer.
select
    r.currency, r.organization_id, o.name as organization, r.payer_id,
    cast(sum(r.revenue_cents) as bigint) as revenue_cents
from finance_revenue as r
join organizations as o on o.id = r.organization_id
where r.month = :month
group by r.currency, r.organization_id, o.name, r.payer_id
order by r.currency, sum(r.revenue_cents) desc, r.organization_id;

-- name: finance_taxes_table
-- One row per currency and rate of the month's taxes, largest first.
select
    currency, name, percent, case when is_inclusive then 'contained in prices' else 'added' end as charged, category,
    cast(sum(taxable_cents) as bigint) as taxable_cents, cast(sum(tax_cents) as bigint) as tax_cents
from finance_taxes
where month = :month
group by currency, name, percent, is_inclusive, category
order by currency, sum(tax_cents) desc, name, percent;

-- name: finance_receivables_table
-- One row per currency and organization that owes something, largest first, with the amounts by age.
select
    r.currency, r.organization_id, o.name as organization, count(*) as invoices, min(r.due_on) as oldest_due_on,
    cast(coalesce(sum(r.due_cents) filter (where r.age = 'current'), 0) as bigint) as current_cents,
    cast(coalesce(sum(r.due_cents) filter (where r.age = '1-30'), 0) as bigint) as days_1_30_cents,
    cast(coalesce(sum(r.due_cents) filter (where r.age = '31-60'), 0) as bigint) as days_31_60_cents,
    cast(coalesce(sum(r.due_cents) filter (where r.age = '61-90'), 0) as bigint) as days_61_90_cents,
    cast(coalesce(sum(r.due_cents) filter (where r.age = 'over 90'), 0) as bigint) as over_90_cents,
    cast(sum(r.due_cents) as bigint) as due_cents
from finance_receivables as r
join organizations as o on o.id = r.organization_id
group by r.currency, r.organization_id, o.name
order by r.currency, sum(r.due_cents) desc, r.organization_id;

-- name: finance_credits_table
-- One row per credit that was granted, oldest first, of all organizations or of :organization_id.
select
    organization_id, currency, description, pays, state, granted_at, expires_at, granted, used, pending, expired,
    remaining
from finance_credits
where state <> 'upcoming' and (cast(:organization_id as text) is null or organization_id = :organization_id)
order by organization_id, granted_at, description, credit_id;

-- name: finance_history_table
-- One row per act that is about the organization and month, oldest first. Acts about all organizations are included.
select happened_at, person, action, organization_id, currency, amount_cents, amount, subject, reason
from finance_history
where first_month <= :month and (last_month is null or last_month >= :month)
    and (cast(:organization_id as text) is null or organization_id is null or organization_id = :organization_id)
order by happened_at, action, subject;

-- name: finance_open_invoices
-- One row: the number of open invoices of the month, which no other statement here counts.
select count(*) as invoices
from invoices
where month = :month and status = 'open';

-- name: finance_credits_summary
-- One row per currency, kind of payment and state of the credits that were granted.
select
    currency, pays, state, count(*) as credits, sum(granted) as granted, sum(used) as used, sum(pending) as pending,
    sum(expired) as expired, sum(remaining) as remaining
from finance_credits
where state <> 'upcoming'
group by currency, pays, state
order by currency, pays, state;

-- name: finance_decisions_table
-- One row per act about the month that is no finalization or payment, newest first, at most :most.
select happened_at, person, action, organization_id, currency, amount_cents, amount, subject, reason
from finance_history
where first_month <= :month and (last_month is null or last_month >= :month) and action not in ('finalized', 'paid')
order by happened_at desc, action, subject
limit :most;
