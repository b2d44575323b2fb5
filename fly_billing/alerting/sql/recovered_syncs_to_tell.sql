-- One row per invoice that is in Stripe now and whose failure people were told of.
select
    s.invoice_id, i.organization_id, to_char(i.month, 'YYYY-MM') as month, s.alerted_code as code,
    '' as operator_text, i.currency, i.total_cents, null as reason
from stripe_invoices as s
join invoices as i on i.id = s.invoice_id
where s.state in ('finalized', 'skipped_zero') and s.alerted_code is not null
order by i.month, i.organization_id
