-- name: failed_invoices_now
-- One row per organization and month whose invoice can't be calculated. The amount is that of the last invoice that
-- could be calculated, if there is one.
select
    i.id as invoice_id, f.organization_id, to_char(f.month, 'YYYY-MM') as month, f.code, f.operator_text, o.currency,
    i.total_cents, null as reason
from billing_failures as f
join organizations as o on o.id = f.organization_id
left join invoices as i on i.organization_id = f.organization_id and i.month = f.month and i.revision = 0
order by f.month, f.organization_id;

-- name: failed_syncs_now
-- One row per invoice whose sync failed, ended without an answer, or needs a person.
select
    s.invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, s.failure_code as code,
    s.failure_operator_text as operator_text, i.currency, i.total_cents, null as reason
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state in ('unknown', 'failed', 'needs_attention')
order by i.month, i.organization_id;

-- name: discrepancies_now
-- One row per month and kind of discrepancy that its last comparison with Stripe found.
select
    to_char(last.month, 'YYYY-MM') as month, last.swept_at as compared_at, coalesce(d.found ->> 'kind', '') as kind,
    count(*) as number
from (
    select distinct on (month) month, swept_at, discrepancies from stripe_reconciliations order by month, id desc
) as last
cross join lateral jsonb_array_elements(last.discrepancies) as d (found)
group by last.month, last.swept_at, coalesce(d.found ->> 'kind', '')
order by last.month, coalesce(d.found ->> 'kind', '');

-- name: refused_alerts
-- One row per channel with alerts that it refused and has not accepted yet.
select
    channel, count(*) as number, (array_agg(last_refusal order by id desc))[1] as reason, min(made_at) as since
from alerts
where taken_at is null and given_up_at is null and refusals > 0
group by channel
order by channel;

-- name: first_landing_day
-- One row: the first landing day that ever landed, or null.
select min(landing_day) as landing_day from landing_days;
