-- One row per organization whose invoice of a month can be computed again and of whose failure people were told.
select
    i.id as invoice_id, r.organization_id, to_char(r.month, 'YYYY-MM') as month, r.alerted_code as code,
    '' as operator_text, o.currency, i.total_cents, null as reason
from billing_recoveries as r
join organizations as o on o.id = r.organization_id
left join invoices as i on i.organization_id = r.organization_id and i.month = r.month and i.revision = 0
order by r.month, r.organization_id
