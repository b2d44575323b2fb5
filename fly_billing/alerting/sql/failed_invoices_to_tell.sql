-- One row per organization whose invoice of a month can't be computed and of which nobody was told yet. The amount is that
-- of the last invoice that could be computed, where there is one.
select
    i.id as invoice_id, f.organization_id, to_char(f.month, 'YYYY-MM') as month, f.code, f.operator_text, o.currency,
    i.total_cents, null as reason
from billing_failures as f
join organizations as o on o.id = f.organization_id
left join invoices as i on i.organization_id = f.organization_id and i.month = f.month and i.revision = 0
where f.alerted_code is distinct from f.code
order by f.month, f.organization_id
