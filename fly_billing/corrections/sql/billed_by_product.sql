-- One row per product of each payer's invoice of this month, open or final; void ones are left out. A payer whose invoice
-- has no items has one row without product.
select
    i.organization_id, o.name as organization_name, i.currency, i.total_cents, t.product,
    coalesce(sum(t.amount_cents), 0) as cents
from invoices as i
join organizations as o on o.id = i.organization_id
left join invoice_items as t on t.invoice_id = i.id
where i.month = :month and i.status <> 'void' and i.origin = 'billed'
group by i.id, i.organization_id, o.name, i.currency, i.total_cents, t.product
order by i.organization_id, t.product
