-- name: failed_invoices_to_alert
-- One row per organization and month whose invoice can't be computed and that nobody was alerted about yet. The amount is
-- that of the last invoice that could be computed, if there is one.
select
    i.id as invoice_id, f.organization_id, to_char(f.month, 'YYYY-MM') as month, f.code, f.operator_text, o.currency,
    i.total_cents, null as reason, f.run_id
from billing_failures as f
join organizations as o on o.id = f.organization_id
left join invoices as i on i.organization_id = f.organization_id and i.month = f.month and i.revision = 0
where f.alerted_code is distinct from f.code
order by f.month, f.organization_id;

-- name: failed_syncs_to_alert
-- One row per invoice whose sync failed and that nobody was alerted about yet.
select
    s.invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, s.failure_code as code,
    s.failure_operator_text as operator_text, i.currency, i.total_cents, null as reason, s.run_id
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state in ('unknown', 'failed', 'needs_attention') and s.alerted_code is distinct from s.failure_code
order by i.month, i.organization_id;

-- name: mark_failed_invoices_alerted
-- No rows. These failures were reported.
update billing_failures as f set alerted_code = :code
from unnest(cast(:organizations as text[]), cast(:months as text[])) as reported (organization_id, month)
where f.organization_id = reported.organization_id and f.month = to_date(reported.month, 'YYYY-MM') and f.code = :code;

-- name: mark_failed_syncs_alerted
-- No rows. This failure of these invoices was reported.
update stripe_invoices set alerted_code = :code where invoice_id = any (:ids) and failure_code = :code;

-- name: mark_recovered_invoices_alerted
-- No rows. These recoveries were reported.
delete from billing_recoveries as r
using unnest(cast(:organizations as text[]), cast(:months as text[])) as reported (organization_id, month)
where r.organization_id = reported.organization_id and r.month = to_date(reported.month, 'YYYY-MM');

-- name: mark_recovered_payments_alerted
-- No rows. These recoveries were reported.
update stripe_events set recovery_told_at = now()
where invoice_id = any (:ids) and alerted_at is not null and recovery_told_at is null;

-- name: mark_recovered_syncs_alerted
-- No rows. These recoveries were reported. A new failure is reported again.
update stripe_invoices set alerted_code = null where invoice_id = any (:ids);

-- name: mark_stripe_events_alerted
-- No rows. This problem of these invoices was reported.
update stripe_events set alerted_at = now()
where invoice_id = any (:ids) and code = :code and alerted_at is null;

-- name: recovered_invoices_to_alert
-- One row per organization and month whose invoice can be computed again after a reported failure.
select
    i.id as invoice_id, r.organization_id, to_char(r.month, 'YYYY-MM') as month, r.alerted_code as code,
    '' as operator_text, o.currency, i.total_cents, null as reason, null as run_id
from billing_recoveries as r
join organizations as o on o.id = r.organization_id
left join invoices as i on i.organization_id = r.organization_id and i.month = r.month and i.revision = 0
order by r.month, r.organization_id;

-- name: recovered_payments_to_alert
-- One row per invoice whose reported problem is over: it is paid now, or finalized if finalizing had failed.
select distinct i.id as invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, i.currency, i.total_cents,
    'recovered' as code, '' as operator_text, null as reason, null as run_id
from stripe_events as e
join invoices as i on i.id = e.invoice_id
left join stripe_invoices as s on s.invoice_id = i.id
where e.alerted_at is not null and e.recovery_told_at is null and (
    (e.code in ('payment_failed', 'payment_given_up', 'uncollectible') and i.status = 'paid')
    or (e.code = 'finalization_failed' and s.state = 'finalized')
)
order by month, i.organization_id;

-- name: recovered_syncs_to_alert
-- One row per invoice that is in Stripe now after a reported failure.
select
    s.invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, s.alerted_code as code,
    '' as operator_text, i.currency, i.total_cents, null as reason, null as run_id
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state in ('finalized', 'skipped_zero') and s.alerted_code is not null
order by i.month, i.organization_id;

-- name: stripe_events_to_alert
-- One row per invoice and type of event that nobody was alerted about yet: the newest event. Not here: problems that are
-- over, and an invoice that fails again for a reported cause.
select distinct on (e.invoice_id, e.type)
    e.invoice_id, e.code, e.operator_text, i.organization_id, to_char(i.month, 'YYYY-MM') as month, i.currency,
    i.total_cents,
    case when e.type = 'invoice.payment_failed' then e.error_code end as reason, null as run_id
from stripe_events as e
join invoices as i on i.id = e.invoice_id
left join payment_failures as p on p.invoice_id = i.id
where e.code is not null and e.alerted_at is null
    and (e.type not in ('invoice.payment_failed', 'invoice.finalization_failed') or e.code = p.code)
    and (e.code <> 'uncollectible' or i.status = 'uncollectible')
    and not exists (
        select from stripe_events as reported
        where reported.invoice_id = e.invoice_id and reported.code = e.code and reported.alerted_at is not null
    )
order by e.invoice_id, e.type, e.created_at desc, e.id;
