-- One row per adjustment on an invoice of this month; void ones are left out.
select
    a.payer_id as organization_id, a.organization_id as about, a.id, a.month, a.product, a.description, a.amount, a.currency,
    a.causes, coalesce(g.pays = 'gross', false) as is_after_tax
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join adjustments as a on a.id = t.adjustment_id
left join credit_grants as g on g.id = a.credit_grant_id
where i.month = :month and i.status <> 'void'
order by a.payer_id, a.month, a.made_at, a.id
