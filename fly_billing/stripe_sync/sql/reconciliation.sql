-- name: record_stripe_reconciliation
-- One row: the number of the comparisons of the month, with this one. Records the result of comparing it with Stripe.
insert into stripe_reconciliations (
    month, swept_at, run_id, invoices_here, invoices_in_stripe, totals_here, totals_in_stripe, discrepancies
)
values (
    :month, :now, :run_id, :here, :there,
    cast(:totals_here as jsonb), cast(:totals_there as jsonb), cast(:discrepancies as jsonb)
)
returning 1 + (select count(*) from stripe_reconciliations as r where r.month = :month) as number;

-- name: invoices_expected_in_stripe
-- One row per invoice of the month that Stripe should have: finalized here, with something to pay.
select id, organization_id
from invoices
where month = :month and origin = 'billed' and status in ('finalized', 'paid', 'uncollectible')
    and total_cents is distinct from 0
order by organization_id, revision;

-- name: last_create_attempt
-- One row: the time of the last create request for an invoice of the month. Null if there was none, or if a time can't
-- be read.
select case when bool_and(isfinite(a.sent_at)) then max(a.sent_at) end as sent_at
from invoices as i
join stripe_attempts as a on a.invoice_id = i.id
where i.month = :month and a.step = 'create';

-- name: organizations_outside_groups
-- One row per organization outside these billing groups.
select id from organizations where not billing_group = any (:groups);

-- name: stripe_entries_of_month
-- One row per invoice of the month in the Stripe journal.
select s.invoice_id, i.organization_id, s.state, s.stripe_invoice_id
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where i.month = :month;
