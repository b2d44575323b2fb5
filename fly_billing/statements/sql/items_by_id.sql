-- One row per item whose id lies between the two, at most 20: all that begin with the same digits.
select
    t.id, t.organization_id, i.organization_id as payer_id, i.month, i.revision, i.status, t.position, t.kind, t.product,
    t.description, t.amount, t.amount_cents, i.currency
from invoice_items as t
join invoices as i on i.id = t.invoice_id
where t.id >= :first and t.id <= :last
order by t.id
limit 20
