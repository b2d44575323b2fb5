-- One row per one-off item on the final invoices of the month that bill these organizations, as the invoice has it: what
-- was changed of the item since is nothing to it.
select t.organization_id, o.id, t.description, t.amount, i.currency, t.product
from invoices as i
join invoice_items as t on t.invoice_id = i.id
join one_off_items as o on o.id = t.one_off_item_id
where i.month = :month and i.status not in ('open', 'void') and t.organization_id = any (:organizations)
order by t.organization_id, o.occurred_at, o.id
