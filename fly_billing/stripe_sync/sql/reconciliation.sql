-- name: add_stripe_reconciliation
-- No rows. One look at what Stripe holds of a month.
insert into stripe_reconciliations (
    month, swept_at, run_id, invoices_here, invoices_in_stripe, totals_here, totals_in_stripe, discrepancies
)
values (
    :month, :now, :run_id, :here, :there,
    cast(:totals_here as jsonb), cast(:totals_there as jsonb), cast(:discrepancies as jsonb)
);

-- name: invoices_expected_in_stripe
-- One row per invoice of the month that Stripe should hold: finalized here, and with something to pay.
select id, organization_id
from invoices
where month = :month and origin = 'billed' and status in ('finalized', 'paid', 'uncollectible')
    and total_cents is distinct from 0
order by organization_id, revision;

-- name: last_create_attempt
-- One row: when an invoice of the month was last asked for in Stripe; null: never, or nobody knows.
select case when bool_and(isfinite(a.sent_at)) then max(a.sent_at) end as sent_at
from invoices as i
join stripe_attempts as a on a.invoice_id = i.id
where i.month = :month and a.step = 'create';

-- name: organizations_outside_groups
-- One row per organization that is in none of these billing groups.
select id from organizations where not billing_group = any (:groups);

-- name: stripe_entries_of_month
-- One row per invoice of the month that the Stripe journal knows by an id, or has begun to send.
select s.invoice_id, i.organization_id, s.state, s.stripe_invoice_id
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where i.month = :month;
