-- name: failed_invoices_to_alert
-- One row per organization whose invoice of a month can't be computed and of which nobody was told yet. The amount is that
-- of the last invoice that could be computed, where there is one.
select
    i.id as invoice_id, f.organization_id, to_char(f.month, 'YYYY-MM') as month, f.code, f.operator_text, o.currency,
    i.total_cents, null as reason
from billing_failures as f
join organizations as o on o.id = f.organization_id
left join invoices as i on i.organization_id = f.organization_id and i.month = f.month and i.revision = 0
where f.alerted_code is distinct from f.code
order by f.month, f.organization_id;

-- name: failed_syncs_to_alert
-- One row per invoice whose sync has a failure that nobody was told of yet.
select
    s.invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, s.failure_code as code,
    s.failure_operator_text as operator_text, i.currency, i.total_cents, null as reason
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state in ('unknown', 'failed', 'needs_attention') and s.alerted_code is distinct from s.failure_code
order by i.month, i.organization_id;

-- name: forget_recovered_invoices
-- No rows. People know that these recovered.
delete from billing_recoveries as r
using unnest(cast(:organizations as text[]), cast(:months as text[])) as told (organization_id, month)
where r.organization_id = told.organization_id and r.month = to_date(told.month, 'YYYY-MM');

-- name: forget_recovered_syncs
-- No rows. People know that these recovered; a new failure is told again.
update stripe_invoices set alerted_code = null where invoice_id = any (:ids);

-- name: mark_failed_invoices_alerted
-- No rows. A human was told of these failures.
update billing_failures as f set alerted_code = :code
from unnest(cast(:organizations as text[]), cast(:months as text[])) as told (organization_id, month)
where f.organization_id = told.organization_id and f.month = to_date(told.month, 'YYYY-MM') and f.code = :code;

-- name: mark_failed_syncs_alerted
-- No rows. A human was told of this failure of these invoices.
update stripe_invoices set alerted_code = :code where invoice_id = any (:ids) and failure_code = :code;

-- name: recovered_invoices_to_alert
-- One row per organization whose invoice of a month can be computed again and of whose failure people were told.
select
    i.id as invoice_id, r.organization_id, to_char(r.month, 'YYYY-MM') as month, r.alerted_code as code,
    '' as operator_text, o.currency, i.total_cents, null as reason
from billing_recoveries as r
join organizations as o on o.id = r.organization_id
left join invoices as i on i.organization_id = r.organization_id and i.month = r.month and i.revision = 0
order by r.month, r.organization_id;

-- name: recovered_syncs_to_alert
-- One row per invoice that is in Stripe now and whose failure people were told of.
select
    s.invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, s.alerted_code as code,
    '' as operator_text, i.currency, i.total_cents, null as reason
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state in ('finalized', 'skipped_zero') and s.alerted_code is not null
order by i.month, i.organization_id;

-- name: stripe_events_mark_recovered
-- stripe_events_mark_recovered
-- No rows. People know that these invoices' trouble is over.
update stripe_events set recovery_told_at = now()
where invoice_id = any (:ids) and alerted_at is not null and recovery_told_at is null;

-- name: mark_stripe_events_alerted
-- mark_stripe_events_alerted
-- No rows. A human was told of this trouble of these invoices.
update stripe_events set alerted_at = now()
where invoice_id = any (:ids) and code = :code and alerted_at is null;

-- name: stripe_events_recovered
-- stripe_events_recovered
-- One row per invoice whose trouble people were told of, and which is paid (or, where it was that, finalized) by now.
select distinct i.id as invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, i.currency, i.total_cents,
    'recovered' as code, '' as operator_text, null as reason
from stripe_events as e
join invoices as i on i.id = e.invoice_id
left join stripe_invoices as s on s.invoice_id = i.id
where e.alerted_at is not null and e.recovery_told_at is null and (
    (e.code in ('payment_failed', 'payment_given_up', 'uncollectible') and i.status = 'paid')
    or (e.code = 'finalization_failed' and s.state = 'finalized')
)
order by month, i.organization_id;

-- name: stripe_events_to_alert
-- stripe_events_to_alert
-- One row per invoice and kind of trouble that nobody was told of yet: the newest word on it. Left out: what is over, and
-- what people know (an invoice that fails again for the same cause).
select distinct on (e.invoice_id, e.type)
    e.invoice_id, e.code, e.operator_text, i.organization_id, to_char(i.month, 'YYYY-MM') as month, i.currency,
    i.total_cents,
    case when e.type = 'invoice.payment_failed' then e.error_code end as reason
from stripe_events as e
join invoices as i on i.id = e.invoice_id
left join payment_failures as p on p.invoice_id = i.id
where e.code is not null and e.alerted_at is null
    and (e.type not in ('invoice.payment_failed', 'invoice.finalization_failed') or e.code = p.code)
    and (e.code <> 'uncollectible' or i.status = 'uncollectible')
    and not exists (
        select from stripe_events as told
        where told.invoice_id = e.invoice_id and told.code = e.code and told.alerted_at is not null
    )
order by e.invoice_id, e.type, e.created_at desc, e.id;
