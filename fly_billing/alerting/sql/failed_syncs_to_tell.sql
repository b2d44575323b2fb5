-- One row per invoice whose sync has a failure that nobody was told of yet.
select
    s.invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, s.failure_code as code,
    s.failure_operator_text as operator_text, i.currency, i.total_cents, null as reason
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state in ('unknown', 'failed', 'needs_attention') and s.alerted_code is distinct from s.failure_code
order by i.month, i.organization_id
